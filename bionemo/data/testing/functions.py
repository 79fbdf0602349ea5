"""The laws of functions: purity, and permutations of a range."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import torch

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, check_integer, shown
from bionemo.core.random import random_global_context
from bionemo.data.testing.content import content_digests, different_parts, listed_parts
from bionemo.data.testing.reads import changed_states, torch_and_numpy_states

__all__ = ["assert_bijection", "assert_pure"]

_NUM_FIRST: Final = 1000
"""Number of indices at each end of a long range that are tried."""


def assert_pure(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Check that a function, called with these arguments, is pure.

    It calls the function three times, with copies of the arguments, and finds a function that modifies its arguments,
    changes a global random state of torch or NumPy, or returns another value when it is called again or when a global
    random state (also Python's) is another. A generator among the arguments may be drawn from: each call gets a copy.

    Args:
        fn: any function whose arguments and result are data: tensors, arrays, numbers, containers of them, records.
        *args: its positional arguments.
        **kwargs: its keyword arguments.

    Raises:
        AssertionError: if a call breaks the law; the message names the argument, the state, or the part that differs.
        TypeError: if an argument or the result isn't data, so that it can't be compared.

    Example:
        >>> rows = torch.arange(6).reshape(2, 3)
        >>> assert_pure(torch.cumsum, rows, dim=1)
        >>> assert_pure(torch.Tensor.add_, rows, 1)
        Traceback (most recent call last):
        AssertionError: add_ must not modify its arguments, but it changed args[0].
    """
    if not callable(fn):
        message = f"fn must be a function, got fn={shown(fn)}."  # type: ignore[unreachable]
        raise TypeError(message)
    name = getattr(fn, "__name__", repr(fn))
    before = _digests_of_arguments(args, kwargs)
    results = []
    for seed in (0, 0, 1):
        own_args, own_kwargs = copy.deepcopy((args, kwargs))
        with random_global_context(seed):
            states = torch_and_numpy_states()
            results.append(content_digests(fn(*own_args, **own_kwargs)))
            changed = changed_states(states)
        if changed:
            message = f"{name} must leave the global random states unchanged, but it changed that of {changed}."
            raise AssertionError(message)
        if parts := different_parts(before, _digests_of_arguments(own_args, own_kwargs)):
            message = f"{name} must not modify its arguments, but it changed {', '.join(parts[:5])}."
            raise AssertionError(message)
    for found, cause in (
        (results[1], "differs when it is called again"),
        (results[2], "depends on a global random state"),
    ):
        if parts := different_parts(results[0], found):
            message = f"{name} must return the same for the same arguments, but {listed_parts(parts)} {cause}."
            raise AssertionError(message)


def _digests_of_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, str]:
    """Return the digests of the arguments' parts, but for generators, which a function may draw from."""
    named = {**{f"args[{number}]": value for number, value in enumerate(args)}, **kwargs}
    generators = (torch.Generator, np.random.Generator, np.random.RandomState)
    return {
        f"{name}{path}": digest
        for name, value in named.items()
        if not isinstance(value, generators)
        for path, digest in content_digests(value).items()
    }


@checked
def assert_bijection(
    fn: Callable[[int], Any],
    length: AnyInt,
    *,
    inverse: Callable[[int], Any] | None = None,
    max_indices: AnyInt = 2**17,
) -> None:
    """Check that a function is a bijection of `range(length)`: a permutation of the indices.

    Args:
        fn: maps an index to an index, e.g. `partial(permute, length=length, seed=seed)` or `dataset.__getitem__`.
        length: number of indices.
        inverse: maps the index back; None if there is no such function.
        max_indices: largest number of indices that are tried. Of a longer range, its ends and indices spread evenly
            between them are; then only two of those tried that have the same image are found.

    Raises:
        AssertionError: if an image is out of range, two indices have the same one, or the inverse returns another
            index; the message names the smallest such indices.
        TypeError: if an image is not an integer.

    Example:
        >>> assert_bijection(lambda index: (3 * index + 1) % 10, 10)
        >>> assert_bijection(lambda index: (4 * index + 1) % 10, 10)
        Traceback (most recent call last):
        AssertionError: fn must map no two indices of range(10) to the same one, but fn(0) == fn(5) == 1.
    """
    length = check_int(length, name="length")
    seen: dict[int, int] = {}
    for index in _indices(length, check_int(max_indices, name="max_indices", low=1)):
        found = fn(index)
        image = check_integer(found.item() if hasattr(found, "item") else found, name=f"fn({index})")
        if not 0 <= image < length:
            message = f"fn must map range({length}) to itself, but fn({index}) == {image}."
            raise AssertionError(message)
        if image in seen:
            message = (
                f"fn must map no two indices of range({length}) to the same one, but "
                f"fn({seen[image]}) == fn({index}) == {image}."
            )
            raise AssertionError(message)
        seen[image] = index
        if inverse is not None and (back := inverse(image)) != index:
            message = f"inverse must undo fn, but fn({index}) == {image} and inverse({image}) == {back}."
            raise AssertionError(message)


def _indices(length: int, max_indices: int) -> Iterable[int]:
    """Return all indices, or those at both ends and some between them, ascending."""
    if length <= max_indices:
        return range(length)
    ends = min(_NUM_FIRST, max_indices // 4)
    between = (length * number // max_indices for number in range(max_indices - 2 * ends))
    return sorted({*range(ends), *between, *range(length - ends, length)})
