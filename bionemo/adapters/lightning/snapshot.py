"""The tensors of a module as they were before an optimizer step."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Snapshot"]


class Snapshot:
    """The tensors of a module as they were before the batches of an optimizer step.

    Parameters change only in the step itself, so they aren't copied. Buffers, e.g. the statistics of a BatchNorm, may
    change in each forward pass. All are copied before the first step; before later steps, only those that have ever
    changed.

    Example:
        >>> module, before = nn.BatchNorm1d(2), Snapshot()
        >>> before.note(module, is_first=True)
        >>> module(torch.ones(3, 2)).shape, before.has_moved(module)
        (torch.Size([3, 2]), False)
        >>> state = module.state_dict()
        >>> before.restore_buffers(module, state)
        >>> int(module.num_batches_tracked), int(state["num_batches_tracked"])
        (1, 0)
    """

    def __init__(self) -> None:
        self.parameters: list[int] = []
        self.versions: dict[str, int] = {}
        self.copies: dict[str, Tensor] = {}
        self.moving: set[str] | None = None

    def note(self, module: nn.Module, *, is_first: bool) -> None:
        """Record the module before a batch; its buffers are copied if the batch is the first of a step."""
        self.parameters = _versions(module)
        if not is_first:
            return
        buffers = dict(module.named_buffers())
        if self.versions:
            self.moving = (self.moving or set()) | self._changed(buffers)
        self.versions = {name: _version(buffer) for name, buffer in buffers.items()}
        copied = buffers.keys() if self.moving is None else self.moving & buffers.keys()
        self.copies = {name: buffers[name].clone() for name in copied}

    def _changed(self, buffers: dict[str, Tensor]) -> set[str]:
        """Return the names of the buffers that changed; BatchNorm writes to its buffers without a new version."""
        return {
            name
            for name, version in self.versions.items()
            if name in buffers
            and (
                _version(buffers[name]) != version
                or (name in self.copies and not torch.equal(self.copies[name], buffers[name]))
            )
        }

    def has_moved(self, module: nn.Module) -> bool:
        """Return whether a parameter was written to since the batch began."""
        return self.parameters != _versions(module)

    def restore_buffers(self, module: nn.Module, state: dict[str, Any]) -> None:
        """Replace the buffers in a module's state by those from before the step.

        Raises:
            RuntimeError: if a buffer changed for the first time and so was not copied.
        """
        for name in self._changed(dict(module.named_buffers())) & state.keys():
            if name not in self.copies:
                message = (
                    f"a checkpoint within a batch must hold the buffer {name!r} from before the batch, which was not "
                    "copied, as it had never changed. Save in on_train_batch_end."
                )
                raise RuntimeError(message)
            state[name] = self.copies[name]


def _versions(module: nn.Module) -> list[int]:
    """Return the number of writes to each parameter."""
    return [_version(parameter) for parameter in module.parameters()]


def _version(tensor: Tensor) -> int:
    return tensor._version  # noqa: SLF001 - torch has no public counter of in-place writes
