"""A batch as one message between processes: its structure as bytes, its tensors and arrays in one shared block."""

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Message", "pack", "unpack"]

_ALIGNMENT: Final = 64
"""Each tensor begins at a multiple of this number of bytes: of a cache line, and so of any element size."""


class Message(NamedTuple):
    """A packed batch."""

    structure: bytes
    """The pickled batch, without the memory of its tensors and arrays."""
    block: Tensor
    """Their memory, shared between processes."""
    sizes: list[int]
    """Number of bytes of each tensor or array in the block; each begins at the next multiple of the alignment."""


class _Pickler(ForkingPickler):
    """Pickles a batch's structure, and passes the memory of its CPU tensors and arrays to a callback.

    Torch's own pickler for queues takes a file descriptor per tensor, of which a process often has only 1,024.
    """

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or not _is_plain(value):
            return NotImplemented
        # A conjugated or negated view only has a flag for it, which its bytes would lose.
        plain = value.resolve_conj().resolve_neg().reshape(-1).contiguous()
        plain = plain.as_strided((value.numel(),), (1,))  # one element or none may keep another stride
        memory: Any = plain.view(torch.uint8).numpy()
        return _rebuild, (pickle.PickleBuffer(memory), value.dtype, tuple(value.shape))


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is on the CPU and fully described by its dtype, shape and elements."""
    is_strided = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested)
    return is_strided and tensor.device.type == "cpu" and not tensor.requires_grad


def _rebuild(memory: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    array = np.frombuffer(memory, dtype=np.uint8)
    return torch.from_numpy(array).view(dtype).reshape(shape) if len(array) else torch.empty(shape, dtype=dtype)


def pack(batch: Any, /) -> Message:
    """Return a batch as one message, whose memory is shared between processes: one file descriptor for all tensors.

    Law: `unpack(pack(batch))` equals `batch`. Views of one tensor become independent tensors; a tensor object that
    occurs twice stays one object.

    Raises:
        TypeError: if the batch doesn't pickle.

    Example:
        >>> unpack(pack({"ids": torch.arange(3), "names": ["a", "b"]}))
        {'ids': tensor([0, 1, 2]), 'names': ['a', 'b']}
    """
    structure = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    try:
        _Pickler(structure, 5, True, buffers.append).dump(batch)  # noqa: FBT003 - positional in the pickle module
    except Exception as error:
        message = (
            f"a batch must pickle to leave a worker process, got {type(batch).__name__}: {error}. "
            "Return plain data from collate, or read with num_workers=0."
        )
        raise TypeError(message) from error
    parts = [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers]
    starts = np.cumsum([0, *(_padded(len(part)) for part in parts)]).tolist()
    block: Any = torch.empty(starts[-1], dtype=torch.uint8)
    block.share_memory_()  # here, where an error reaches the user, instead of in a queue's thread
    memory = block.numpy()
    for start, part in zip(starts, parts, strict=False):
        memory[start : start + len(part)] = part
    return Message(structure.getvalue(), block, [len(part) for part in parts])


def unpack(message: Message, /) -> Any:
    """Return the batch of a message; its tensors and arrays are views of the message's memory.

    Example:
        >>> unpack(pack([torch.ones(2, dtype=torch.bfloat16), 3]))
        [tensor([1., 1.], dtype=torch.bfloat16), 3]
    """
    structure, block, sizes = message
    starts = np.cumsum([0, *(_padded(size) for size in sizes)]).tolist()
    memory = block.numpy()
    buffers = [memory[start : start + size] for start, size in zip(starts, sizes, strict=False)]
    return pickle.loads(structure, buffers=buffers)  # noqa: S301 - written by our own process


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
