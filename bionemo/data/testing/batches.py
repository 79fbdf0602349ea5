"""The laws of batches: a rank without samples gets one, and a loss doesn't depend on how samples are batched."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat
from bionemo.core.int64 import listed

__all__ = ["assert_batch_invariant", "assert_collate_accepts_empty"]


@checked
def assert_collate_accepts_empty(collate: Callable[[list[Any]], Any], samples: Sequence[Any]) -> None:
    """Check that a collator makes a batch of no samples, with the fields, dtypes and axes of any other batch.

    A rank without samples, at the last step of a run, gets such a batch. If its collator raises, that rank alone
    stops, and the others wait for it.

    Args:
        collate: makes a batch of a list of samples.
        samples: some samples, to compare with.

    Raises:
        AssertionError: if `collate([])` raises, or differs in its fields, dtypes or number of axes.

    Example:
        >>> from bionemo.core.padding import pad_token_ids
        >>> assert_collate_accepts_empty(pad_token_ids, [torch.tensor([5, 6]), torch.tensor([7])])
        >>> assert_collate_accepts_empty(torch.stack, [torch.tensor([5, 6])])
        Traceback (most recent call last):
        AssertionError: collate must accept an empty list, got RuntimeError: stack expects a non-empty TensorList.
        Return tensors without rows. Reproduce: collate([])
    """
    expected = _kinds(collate(list(samples)), "batch")
    try:
        found = _kinds(collate([]), "batch")
    except Exception as error:
        message = (
            f"collate must accept an empty list, got {type(error).__name__}: {error}. Return tensors without rows. "
            "Reproduce: collate([])"
        )
        raise AssertionError(message) from error
    for path in expected | found:
        one, other = expected.get(path, "missing"), found.get(path, "missing")
        if one != other:
            message = f"collate([]) must have the fields of other batches, but {path} is {other} instead of {one}."
            raise AssertionError(message)


def _kinds(value: Any, path: str) -> dict[str, str]:
    """Return the type of each part of a batch: of a tensor its dtype and number of axes."""
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return {path: f"{type(value).__name__} of {value.dtype} with {value.ndim} axes"}
    if isinstance(value, Mapping):
        return {name: kind for key, part in value.items() for name, kind in _kinds(part, f"{path}[{key!r}]").items()}
    if isinstance(value, tuple):
        return {name: kind for key, part in enumerate(value) for name, kind in _kinds(part, f"{path}[{key}]").items()}
    return {path: type(value).__name__}


@checked
def assert_batch_invariant(
    loss_of: Callable[[Any], Any],
    samples: Sequence[Any],
    collate: Callable[[list[Any]], Any],
    *others: Callable[[list[Any]], Any],
    rtol: AnyFloat = 1e-4,
) -> None:
    """Check that the summed loss of some samples doesn't depend on how they are batched.

    It finds a model that attends to padding or across packed samples, positions that don't start at 0 in each sample,
    a loss that counts padding, and losses that are averaged before they are summed.

    Args:
        loss_of: returns the sum of a batch's loss over tokens or samples, not the mean: a number or one-element
            tensor; the model in evaluation mode, without dropout.
        samples: at least two, of different lengths.
        collate: makes a batch of a list of samples. They are batched all together, in reverse, in two halves, and one
            by one.
        *others: more ways to make a batch, e.g. with wider padding, or packed, which must give the same sum.
        rtol: largest relative difference.

    Raises:
        AssertionError: if two sums differ; the message names how the samples were batched.
        ValueError: if there are fewer than two samples.

    Example:
        >>> from torch.nn.utils.rnn import pad_sequence
        >>> samples = [torch.tensor([1.0, 2.0]), torch.tensor([3.0])]
        >>> assert_batch_invariant(torch.sum, samples, pad_sequence)
        >>> assert_batch_invariant(torch.mean, samples, pad_sequence)
        Traceback (most recent call last):
        AssertionError: the summed loss must not depend on the batch, but it is 4.5 one by one and 1.5 all together.
    """
    samples = listed(samples, name="samples")
    if len(samples) < 2:  # noqa: PLR2004 - nothing to batch
        message = f"samples must hold at least two samples, got {len(samples)}."
        raise ValueError(message)
    half = len(samples) // 2
    expected = _loss(loss_of, collate, [[sample] for sample in samples])
    ways = {
        "in two halves": [samples[:half], samples[half:]],
        "all together": [samples],
        "all together in reverse": [samples[::-1]],
    }
    for number, way in enumerate((collate, *others)):
        of_collator = f" by collator {number}" * (number > 0)
        for name, groups in {**({"one by one": [[sample] for sample in samples]} if number else {}), **ways}.items():
            found = _loss(loss_of, way, groups)
            if not abs(found - expected) <= float(rtol) * max(abs(found), abs(expected)):  # also if one is no number
                message = (
                    f"the summed loss must not depend on the batch, but it is {expected:.6g} one by one and "
                    f"{found:.6g} {name}{of_collator}."
                )
                raise AssertionError(message)


def _loss(loss_of: Callable[[Any], Any], collate: Callable[[list[Any]], Any], groups: list[list[Any]]) -> float:
    with torch.no_grad():
        return sum(float(loss_of(collate(list(group)))) for group in groups)
