"""What the orders of this library are made from."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bionemo.core.utils.blocks import in_blocks
from bionemo.core.utils.checks import MAX_INT, AnyInt, as_int, check_index, check_int
from bionemo.data.feistel import MAX_LENGTH
from bionemo.data.order import SampleIndex
from bionemo.data.record import given_fields

__all__ = ["OrderBase", "OrderNumbers", "check_length", "check_num_samples", "check_place"]


class OrderBase:
    """What the orders of this library have besides their fields: one data set, an end or none.

    No base of yours: an order of your own needs the members of `Order` alone.
    """

    __slots__ = ()

    length: int
    num_samples: int | None

    def __len__(self) -> int:
        """Return the number of positions.

        Raises:
            TypeError: if there is no end.
        """
        if self.num_samples is None:
            message = "an order without end has no length, got num_samples=None. Give num_samples to end it."
            raise TypeError(message)
        return self.num_samples

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given_fields(self).items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields alone: what is worked out from them is made anew."""
        return _from_fields, (type(self), given_fields(self))

    @property
    def num_sources(self) -> int:
        """How many data sets the order draws from."""
        return 1

    @property
    def epoch_length(self) -> int | None:
        """Positions in an epoch, where each multiple of it begins a new one; None where there are no such epochs."""
        return None

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """The lengths that the data sets must have; None where an order doesn't say."""
        return (self.length,)


def _from_fields(kind: Any, fields: dict[str, Any]) -> Any:
    return kind(**fields)


class OrderNumbers:
    """What the kernel of an order works with, made once from the order's fields.

    Inside `torch.compile` the numbers are read from a tensor: a graph doesn't depend on their values then, and serves
    every order with the same number of rounds.

    Args:
        numbers: a NamedTuple of ints below 2**63 and of such NamedTuples.
        rounds: of the permutations, if there are any; a graph is made for each.
    """

    def __init__(self, numbers: Any, *, rounds: AnyInt = 0) -> None:
        self.rounds = as_int(rounds)
        self._ints = numbers
        self._tensor = torch.tensor(_leaves(numbers), dtype=torch.int64, device="cpu")

    def run(self, kernel: Callable[..., Any], /, *words: Any) -> Any:
        """Return what a kernel answers for ints or tensors, given the numbers as its last argument.

        They are ints or, where a graph is made, tensors without axes on the device of the words.
        """
        numbers, word = self._ints, words[-1]
        if torch.compiler.is_compiling() and isinstance(word, Tensor):
            numbers = _rebuild(self._ints, iter(self._tensor.to(word.device).unbind()))
        return in_blocks(partial(kernel, n=numbers), *words)


def _leaves(numbers: Any) -> list[int]:
    return [leaf for part in numbers for leaf in (_leaves(part) if isinstance(part, tuple) else [part])]


def _rebuild(like: Any, leaves: Iterator[Tensor]) -> Any:
    return type(like)(*(_rebuild(part, leaves) if isinstance(part, tuple) else next(leaves) for part in like))


def check_place(index: SampleIndex, length: AnyInt) -> None:
    """Check that a sample stands in some epoch of a data set, at a position that fits int64.

    Raises:
        IndexError: if it doesn't; tensors that can't be looked at aren't checked.

    Example:
        >>> check_place(SampleIndex(source=0, epoch=5, idx=9), 10)
    """
    check_index(index.idx, stop=length, name="idx")
    if not torch.compiler.is_compiling():
        check_index(index.epoch, stop=MAX_INT // as_int(length) + 1, name="epoch")


def check_length(length: AnyInt) -> int:
    """Return the length of a data set as a Python int.

    Raises:
        ValueError: outside 1..2**62.
        TypeError: if it is no integer.

    Example:
        >>> check_length(10)
        10
    """
    return check_int(length, name="length", low=1, high=MAX_LENGTH)


def check_num_samples(num_samples: AnyInt | None) -> int | None:
    """Return the number of positions of an order as a Python int, or None for no end.

    Raises:
        ValueError: outside 0..2**62.
        TypeError: if it is no integer.

    Example:
        >>> check_num_samples(10), check_num_samples(None)
        (10, None)
    """
    return None if num_samples is None else check_int(num_samples, name="num_samples", high=MAX_LENGTH)
