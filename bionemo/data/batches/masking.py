"""Corruption of token rows for masked-language modelling."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, check_word, is_concrete
from bionemo.core.fields import to_float
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.core.padding.shape import check_blocks
from bionemo.data.batches.corruption import Corruption, MaskedTokens, TokenRows, corrupt_tokens
from bionemo.data.batches.tokens import as_token_table, check_ids, check_token

__all__ = ["MaskedTokens", "as_corruption", "chosen_labels", "mask_tokens"]


@checked
def mask_tokens(
    ids: Integer[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    *,
    seeds: Int[Tensor, " batch"],
    mask_id: AnyInt,
    replacement_ids: Iterable[AnyInt] | Integer[Tensor, " replacements"],
    special_ids: Iterable[AnyInt] | Integer[Tensor, " specials"] = (),
    mask_prob: AnyFloat | Float[Tensor, "batch length"] = 0.15,
    mask_replace_prob: AnyFloat = 0.8,
    random_replace_prob: AnyFloat = 0.1,
    spans: Int[Tensor, "batch length"] | None = None,
    min_one: bool = False,
) -> MaskedTokens:
    """Return a block of tokens corrupted for masked-language modelling, and the labels to predict.

    Each real token that isn't special is chosen with probability `mask_prob`. A chosen token becomes `mask_id` with
    probability `mask_replace_prob`, one of `replacement_ids` with probability `random_replace_prob`, and otherwise
    stays unchanged.

    Laws: the choices in a row depend only on its seed and on the index of each token among the row's real tokens, so a
    row is corrupted in the same way alone, in any batch, and with any padding, left or right. Where `labels` is -100,
    `ids` is unchanged. Of a span, all tokens that aren't special are chosen, or none.

    Args:
        ids: padded tokens, of a signed or 8-bit integer dtype.
        mask: True = real token.
        seeds: one per row, 0..2**63-1; different seeds give different corruptions.
        mask_id: the mask token.
        replacement_ids: tokens from which random replacements are drawn, in a range, sequence, array or tensor. They
            are equally probable to within one part in `2**31 / len(replacement_ids)`. A range takes no time, whatever
            its length; a list is converted for each batch.
        special_ids: tokens that are never chosen.
        mask_prob: probability with which a token is chosen, in steps of 2**-31: a number, or a tensor with one
            probability per token. (For one per kind of residue, index a table: `table[ids]`.)
        mask_replace_prob: fraction of the chosen tokens that become `mask_id`.
        random_replace_prob: fraction of the chosen tokens that become a random one.
        spans: number of the span that each token belongs to, e.g. its codon or helix, from 0 on. The tokens of a span
            are chosen together, with probability `mask_prob`; what each becomes is drawn for each. By default tokens
            are chosen one by one (and not the same ones as with spans of one token).
        min_one: whether to choose the token or span that came closest to being chosen in each row where none was.
            Rows without a token that can be chosen stay unchanged.

    Returns:
        The corrupted tokens, of the shape, dtype and device of `ids`, and int64 labels of the same shape and device:
        the original token where one was chosen, -100 elsewhere.

    Raises:
        ValueError: if a probability isn't in 0..1, the two fractions add up to more than 1, `replacement_ids` is empty
            though `random_replace_prob` isn't 0, a token doesn't fit the dtype of `ids`, the shapes don't match, or
            both `spans` and a tensor of probabilities are given.
        TypeError: if the mask isn't of bools, or a token or the number of a span is no integer. Only shapes and dtypes
            are checked of tensors inside `torch.compile` and `vmap` and on an accelerator.

    Source: J. Devlin et al., "BERT: Pre-training of deep bidirectional transformers" (2019), section 3.1: 15% of the
    tokens are chosen, and 80%, 10% and 10% of these are masked, replaced and unchanged.

    Example:
        >>> ids = torch.arange(3, 15).reshape(2, 6)
        >>> masked = mask_tokens(
        ...     ids, ids < 13, seeds=torch.tensor([7, 8]), mask_id=1, replacement_ids=range(3, 15), mask_prob=0.5
        ... )
        >>> masked.ids
        tensor([[ 3,  4,  1,  6,  1,  1],
                [ 9, 10,  1,  1, 13, 14]])
        >>> masked.labels
        tensor([[-100, -100,    5, -100,    7,    8],
                [   9, -100,   11,   12, -100, -100]])
    """
    check_blocks(ids, mask, seeds=seeds, mask_prob=mask_prob, spans=spans)
    corruption = as_corruption(
        ids,
        mask,
        mask_id=mask_id,
        replacement_ids=replacement_ids,
        special_ids=special_ids,
        mask_prob=mask_prob,
        mask_replace_prob=mask_replace_prob,
        random_replace_prob=random_replace_prob,
        spans=spans,
        min_one=min_one,
    )
    return corrupt_tokens(ids, mask, _rows(mask, check_word(seeds, name="seeds")), corruption)


def _rows(mask: Bool[Tensor, "batch length"], seeds: Int[Tensor, " batch"]) -> TokenRows:
    """Return the rows of a padded block."""
    if is_concrete(mask) and bool(np.all((cells := mask.numpy())[:, 1:] <= cells[:, :-1])):
        return TokenRows(seeds)
    return TokenRows(seeds, in_row=(mask.cumsum(1) - 1).clamp(min=0))


@checked
def chosen_labels(ids: Integer[Tensor, "*shape"], chosen: Bool[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return labels for tokens that were chosen: the token where it was, -100 elsewhere.

    For batches that travel as bytes: the original ids and a mask of the chosen tokens make the int64 labels where they
    are used.

    Law: `chosen_labels(ids, labels != -100)` is `labels`, for the labels that `mask_tokens(ids, ...)` returns.

    Args:
        ids: original tokens, of any integer dtype.
        chosen: True = token to predict.

    Returns:
        int64 labels of the shape and device of `ids`.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if `chosen` isn't of bools.

    Example:
        >>> chosen_labels(torch.tensor([5, 6], dtype=torch.uint8), torch.tensor([True, False]))
        tensor([   5, -100])
    """
    check_ids(ids)
    if chosen.dtype != torch.bool:
        message = f"chosen must be of bools, True = token to predict, got dtype={chosen.dtype}. Convert it by .bool()."
        raise TypeError(message)
    if ids.shape != chosen.shape:
        message = f"ids and chosen must have one shape, got ids {tuple(ids.shape)} and chosen {tuple(chosen.shape)}."
        raise ValueError(message)
    return torch.where(chosen, ids.long(), IGNORE_INDEX)


def as_corruption(  # noqa: D417 - the options are described at mask_tokens
    ids: Integer[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    mask_id: AnyInt,
    replacement_ids: Iterable[AnyInt] | Integer[Tensor, " replacements"],
    special_ids: Iterable[AnyInt] | Integer[Tensor, " specials"] = (),
    mask_prob: AnyFloat | Float[Tensor, "*shape"] = 0.15,
    mask_replace_prob: AnyFloat = 0.8,
    random_replace_prob: AnyFloat = 0.1,
    spans: Int[Tensor, "*shape"] | None = None,
    min_one: bool = False,
) -> Corruption:
    """Return the options of `mask_tokens` for tokens in any layout, checked.

    Args:
        ids: tokens.
        mask: True = real token.

    Example:
        >>> ids = torch.tensor([5, 6, 7])
        >>> as_corruption(ids, ids > 5, mask_id=1, replacement_ids=range(3, 9)).mask_below / 2**32
        0.8000000000465661
    """
    check_ids(ids)
    # Python's floats, because a NumPy float32 would round the sum of the two fractions.
    mask_prob = mask_prob if isinstance(mask_prob, Tensor) else to_float(mask_prob)
    mask_replace_prob, random_replace_prob = to_float(mask_replace_prob), to_float(random_replace_prob)
    _check_probabilities(mask_prob, mask_replace_prob, random_replace_prob)
    if isinstance(mask_prob, Tensor) and spans is not None:
        message = "mask_prob must be one number if spans are given, got a tensor. Pass a float for all spans."
        raise ValueError(message)
    replacements = as_token_table(replacement_ids, ids, name="replacement_ids")
    if random_replace_prob and not len(replacements):
        message = (
            "replacement_ids must hold at least one token if random_replace_prob is not 0, got none. "
            "Pass tokens, or random_replace_prob=0."
        )
        raise ValueError(message)
    if len(replacements) > 2**31:
        message = f"replacement_ids must be at most 2**31 tokens, got {len(replacements)}."
        raise ValueError(message)
    return Corruption(
        check_token(mask_id, ids.dtype, name="mask_id"),
        replacements,
        as_token_table(special_ids, ids, name="special_ids"),
        (mask_prob.double() * 2**31).round().long() if isinstance(mask_prob, Tensor) else round(mask_prob * 2**31),
        round(mask_replace_prob * 2**32),
        round((mask_replace_prob + random_replace_prob) * 2**32),
        bool(min_one),
        # The numbers at padding don't count, and aren't checked.
        None if spans is None else check_word(spans.where(mask, 0), name="spans"),
    )


def _check_probabilities(mask_prob: float | Tensor, mask_replace_prob: float, random_replace_prob: float) -> None:
    bounds = [mask_prob]
    if isinstance(mask_prob, Tensor):
        if mask_prob.is_complex():
            message = f"mask_prob must hold real numbers, got dtype={mask_prob.dtype}."
            raise TypeError(message)
        bounds = list(torch.aminmax(mask_prob.detach())) if is_concrete(mask_prob) and mask_prob.numel() else []
    for bound in bounds:
        _check_probability("mask_prob", float(bound))
    _check_probability("mask_replace_prob", mask_replace_prob)
    _check_probability("random_replace_prob", random_replace_prob)
    _check_probability("mask_replace_prob + random_replace_prob", mask_replace_prob + random_replace_prob)


def _check_probability(name: str, probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        message = f"{name} must be in 0..1, got {name}={probability}."
        raise ValueError(message)
