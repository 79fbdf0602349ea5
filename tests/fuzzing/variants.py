"""Strange variants of valid values: other layouts, byte orders, sizes, subclasses, containers and numbers.

A layout holds the same values as a plain copy of it, so that the answers for both have to be equal.
"""

import array
import collections
import mmap
import random
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor


class Variant(NamedTuple):
    name: str
    value: Any
    plain: Any = None
    """The same values in the most usual form, if the answer for it has to be the same."""
    has_plain: bool = False


class IntSubclass(int):
    pass


class FloatSubclass(float):
    pass


class StrSubclass(str):
    __slots__ = ()


class ListSubclass(list):
    pass


class TupleSubclass(tuple):
    __slots__ = ()


class DictSubclass(dict):
    pass


class TensorSubclass(Tensor):
    pass


class ArraySubclass(np.ndarray):
    pass


def shifted(tensor: Tensor) -> Tensor:
    """Return the tensor in a larger storage, not at its start."""
    flat = torch.cat([tensor.new_ones(3), tensor.reshape(-1), tensor.new_ones(2)])
    return flat[3 : 3 + tensor.numel()].view(tensor.shape)


def transposed_in_memory(tensor: Tensor) -> Tensor:
    axes = tuple(reversed(range(tensor.ndim)))
    return tensor.permute(axes).contiguous().permute(axes)


def overlapping(tensor: Tensor) -> Tensor:
    """Return a tensor whose rows overlap in memory."""
    if tensor.ndim < 2 or not tensor.numel():
        return tensor[:1].expand(tensor.shape) if tensor.ndim else tensor
    return tensor.reshape(-1).as_strided(tensor.shape, (1,) * tensor.ndim)


def negated_lazily(tensor: Tensor) -> Tensor:
    """Return the imaginary parts of conjugated numbers, which are negated when they are read."""
    if tensor.dtype not in {torch.float32, torch.float64}:
        return tensor
    return torch.complex(torch.zeros_like(tensor), -tensor).conj().imag


def inferred(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


def differentiable(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor.clone()


TENSOR_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "every second element": lambda tensor: torch.stack([tensor, tensor], -1)[..., 0],
    "transposed in memory": transposed_in_memory,
    "storage offset": shifted,
    "expanded": lambda tensor: tensor[..., :1].expand(tensor.shape) if tensor.ndim else tensor,
    "overlapping": overlapping,
    "negated lazily": negated_lazily,
    "subclass": lambda tensor: tensor.clone().as_subclass(TensorSubclass),
    "parameter": lambda tensor: torch.nn.Parameter(tensor.clone(), requires_grad=False),
    "requires grad": differentiable,
    "of inference mode": inferred,
    "of NumPy": lambda tensor: torch.from_numpy(tensor.numpy().copy()) if tensor.dtype != torch.bfloat16 else tensor,
    "sparse": lambda tensor: tensor.to_sparse(),
}


def memory_mapped(values: np.ndarray) -> np.ndarray:
    """Return the array in anonymous shared memory, as a memory map that is read-only for Python."""
    memory = mmap.mmap(-1, max(values.nbytes, 1))
    memory[: values.nbytes] = values.tobytes()
    return np.frombuffer(memoryview(memory).toreadonly(), dtype=values.dtype, count=values.size).reshape(values.shape)


def unaligned(values: np.ndarray) -> np.ndarray:
    buffer = bytearray(1 + values.nbytes)
    buffer[1:] = values.tobytes()
    return np.frombuffer(buffer, dtype=values.dtype, offset=1, count=values.size).reshape(values.shape)


def read_only(values: np.ndarray) -> np.ndarray:
    copied = values.copy()
    copied.flags.writeable = False
    return copied


ARRAY_LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "every second element": lambda values: np.repeat(values[..., None], 2, axis=-1)[..., 0],
    "Fortran order": np.asfortranarray,
    "big-endian": lambda values: values.astype(values.dtype.newbyteorder(">")),
    "reversed strides": lambda values: values[..., ::-1].copy()[..., ::-1] if values.ndim else values,
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "unaligned": unaligned,
    "broadcast": lambda values: np.broadcast_to(values[..., :1], values.shape) if values.ndim else values,
    "subclass": lambda values: values.copy().view(ArraySubclass),
    "objects": lambda values: values.astype(object),
}

CONTAINERS: dict[str, Callable[[list], Any]] = {
    "list subclass": ListSubclass,
    "tuple": tuple,
    "tuple subclass": TupleSubclass,
    "deque": collections.deque,
    "UserList": collections.UserList,
    "object array": lambda values: np.array([*values, None], dtype=object)[:-1],
}
OF_NUMBERS: dict[str, Callable[[list], Any]] = {
    "array": np.array,  # in one of its variants, as the tensor
    "tensor": torch.tensor,
    "array.array": lambda values: array.array("q" if all(type(value) is int for value in values) else "d", values),
}
MAPPINGS: dict[str, Callable[[dict], Any]] = {
    "dict subclass": DictSubclass,
    "OrderedDict": collections.OrderedDict,
    "MappingProxyType": types.MappingProxyType,
    "ChainMap": collections.ChainMap,
    "UserDict": collections.UserDict,
}
HUGE = (2**40, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, 10**5000)
INTS = (-1, 0, 1, 2, 7, -(2**31), -(2**63), *HUGE)
FLOATS = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1e308, -1.5, 5e-324, 1 + 2**-52, 0.5)
ELEMENTS: tuple[Any, ...] = (None, "a", 2.5, float("nan"), -1, 2**63, 10**400, True, [1], np.int8(3), b"x", 1j)
ELEMENTS += ({1, 2}, {"a": 1}, int, len, np.float32(1.5), np.datetime64("2020"), np.array(2), np.array([None, "a"]))
ELEMENTS += (torch.tensor(2), torch.ones(2), torch.eye(2).to_sparse(), torch.ones(2, device="meta"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch, that nested tensors are a prototype
    ELEMENTS += (torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),)
TENSOR_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint64)
TENSOR_DTYPES += (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64)
ARRAY_DTYPES = ("bool", "u1", "i1", ">i2", "i4", "i8", "u8", "f2", "f4", ">f8", "g", "c8", "O", "U5", "M8[s]", "m8[s]")


def variant_of(value: Any, draw: random.Random, /, *, is_amount: bool) -> Variant | None:  # noqa: C901, PLR0911 - one per kind
    """Return a variant of a valid value, or None for a value of a type that has none.

    Args:
        value: a valid argument.
        draw: what is drawn from.
        is_amount: whether the value says how much is to be done, so that a huge one takes long, lawfully.
    """
    if isinstance(value, Tensor):
        return tensor_variant(value.detach(), draw)
    if isinstance(value, np.ndarray):
        return array_variant(value, draw)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return int_variant(value, draw, is_amount=is_amount)
    if isinstance(value, float):
        return float_variant(value, draw)
    if type(value) is str:
        return string_variant(value, draw)
    if isinstance(value, Path):
        return Variant("path as a string", str(value))
    if type(value) in {list, tuple}:
        variant = sequence_variant(list(value), draw, is_amount=is_amount)
        if type(variant.value) is list:
            variant = variant._replace(value=type(value)(variant.value))
        return variant._replace(plain=type(value)(variant.plain)) if type(variant.plain) is list else variant
    if type(value) is dict:
        return mapping_variant(value, draw, is_amount=is_amount)
    if type(value) is range:
        return Variant("range as a list", list(value), value, has_plain=True)
    return record_variant(value)


def tensor_variant(tensor: Tensor, draw: random.Random) -> Variant:
    if draw.random() < 0.6:
        name = draw.choice(list(TENSOR_LAYOUTS))
        strange = TENSOR_LAYOUTS[name](tensor)
        plain = (strange.to_dense() if strange.is_sparse else strange).detach().clone().as_subclass(Tensor)
        return Variant(f"tensor: {name}", strange, plain.contiguous(), has_plain=True)
    changes = {
        "dtype": lambda: tensor.to(draw.choice(TENSOR_DTYPES)),
        "0-d": tensor.reshape(-1)[:1].sum,
        "one axis more": lambda: tensor[None],
        "one axis": lambda: tensor.reshape(-1),
        "empty": lambda: tensor[:0] if tensor.ndim else tensor.reshape(1)[:0],
        "no columns": lambda: tensor[..., :0] if tensor.ndim else tensor,
        "longer": lambda: torch.cat([tensor, tensor]) if tensor.ndim else tensor.reshape(1),
        "transposed": lambda: tensor.mT if tensor.ndim > 1 else tensor,
        "meta": lambda: tensor.to("meta"),
        "CSR": lambda: tensor.to_sparse_csr() if tensor.ndim == 2 else tensor.to_sparse(),
        "nested": lambda: torch.nested.nested_tensor([tensor.double()]),
        "extremes": lambda: extreme(tensor, draw),
    }
    name = draw.choice(list(changes))
    return Variant(f"tensor: {name}", changes[name]())


def extreme(tensor: Tensor, draw: random.Random) -> Tensor:
    """Return the tensor with one element that is not finite, the smallest or the largest of the dtype."""
    changed = tensor.clone()
    if not tensor.numel() or tensor.dtype == torch.bool or tensor.is_complex():
        return changed
    info = torch.finfo(tensor.dtype) if tensor.is_floating_point() else torch.iinfo(tensor.dtype)
    ends = [info.min, info.max] + [float("nan"), float("inf")] * tensor.is_floating_point()
    changed.view(-1)[draw.randrange(tensor.numel())] = draw.choice(ends)
    return changed


def array_variant(values: np.ndarray, draw: random.Random) -> Variant:
    if values.dtype.hasobject:  # e.g. of integers beyond int64
        return Variant("array of objects", values)
    if draw.random() < 0.7:
        name = draw.choice(list(ARRAY_LAYOUTS))
        strange = ARRAY_LAYOUTS[name](values)
        plain = np.array(strange, dtype=values.dtype.newbyteorder("="), order="C", subok=False)
        return Variant(f"array: {name}", strange, plain, has_plain=name != "objects")
    changes = {
        "dtype": lambda: values.astype(draw.choice(ARRAY_DTYPES)),
        "0-d": values.reshape(-1)[:1].sum,
        "one axis more": lambda: values[None],
        "empty": lambda: values[:0],
        "longer": lambda: np.concatenate([values, values]) if values.ndim else values.reshape(1),
    }
    name = draw.choice(list(changes))
    return Variant(f"array: {name}", changes[name]())


def int_variant(value: int, draw: random.Random, *, is_amount: bool) -> Variant:
    same = {"IntSubclass": IntSubclass, "np.int64": np.int64, "np.uint8": lambda number: np.uint8(min(number, 255))}
    if draw.random() < 0.3:
        name = draw.choice(list(same))
        strange = same[name](value if abs(value) < 2**63 else 3)
        return Variant(name, strange, int(strange), has_plain=True)
    number = draw.choice([number for number in INTS if not (is_amount and number in HUGE)])
    return Variant("number", number)


def float_variant(value: float, draw: random.Random) -> Variant:
    if draw.random() < 0.3:
        kind = draw.choice((FloatSubclass, np.float64))
        return Variant(kind.__name__, kind(value), value, has_plain=True)
    if draw.random() < 0.2:
        return Variant("np.float32", np.float32(draw.choice(FLOATS[:5])))
    return Variant("number", draw.choice(FLOATS))


def string_variant(value: str, draw: random.Random) -> Variant:
    if draw.random() < 0.3:
        kind = draw.choice((StrSubclass, np.str_))
        return Variant(kind.__name__, kind(value), value, has_plain=True)
    return Variant("text", draw.choice(("", value * 2, value + "\0", " " + value, "é😀", "\ud800", "\n", value * 500)))


def sequence_variant(values: list, draw: random.Random, *, is_amount: bool) -> Variant:  # noqa: PLR0911
    if draw.random() < 0.5:
        are_numbers = bool(values) and all(type(value) in {int, float} for value in values)
        containers = CONTAINERS | (OF_NUMBERS if are_numbers else {})
        name = draw.choice(list(containers))
        try:
            if name == "array":
                return array_variant(np.array(values), draw)
            if name == "tensor":
                return tensor_variant(torch.tensor(values), draw)
            # What returns a list for a list returns an array for an array.
            plain = np.array(values) if name == "object array" and are_numbers else values
            return Variant(name, containers[name](values), plain, has_plain=True)
        except OverflowError:  # a number beyond int64
            return Variant("tuple", tuple(values), values, has_plain=True)
    changed = list(values)
    change = draw.randrange(4)
    if change == 0 or not changed:
        return Variant("empty", [])
    index = draw.randrange(len(changed))
    if change == 1:
        return Variant("longer", [*changed, changed[index]])
    inner = variant_of(changed[index], draw, is_amount=is_amount) if change == 2 else None
    changed[index] = draw.choice(ELEMENTS) if inner is None else inner.value
    return Variant(f"element {index}: {inner.name if inner else 'another'}", changed)


def mapping_variant(values: Mapping, draw: random.Random, *, is_amount: bool) -> Variant:
    if draw.random() < 0.4:
        name = draw.choice(list(MAPPINGS))
        return Variant(name, MAPPINGS[name](values), dict(values), has_plain=True)
    changed = dict(values)
    if not changed or draw.random() < 0.2:
        return Variant("another key", changed | {draw.choice(("", "b", "x" * 1000)): 1})
    key = draw.choice(list(changed))
    if draw.random() < 0.2:
        del changed[key]
        return Variant("a key less", changed)
    inner = variant_of(changed[key], draw, is_amount=is_amount) if draw.random() < 0.6 else None
    changed[key] = draw.choice(ELEMENTS) if inner is None else inner.value
    return Variant(f"value of {key!r}: {inner.name if inner else 'another'}", changed)


def record_variant(value: Any) -> Variant | None:
    """Return a record of ours as an instance of a subclass."""
    if not (attrs.has(type(value)) and type(value).__module__.startswith("bionemo.")):
        return None
    subclass: Any = type(f"{type(value).__name__}Subclass", (type(value),), {"__slots__": ()})
    fields = {field.alias: getattr(value, field.name) for field in attrs.fields(type(value)) if field.init}
    return Variant("record subclass", subclass(**fields))
