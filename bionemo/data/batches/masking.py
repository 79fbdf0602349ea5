"""Corruption of token rows for masked-language modelling."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, check_word, is_concrete
from bionemo.core.model.loss import IGNORE_INDEX
from bionemo.core.padding.shape import check_blocks
from bionemo.core.random.hashing import fold_in, fold_rows
from bionemo.data.batches.tokens import as_tokens, check_token

__all__ = ["MaskedTokens", "corrupt_tokens", "mask_tokens"]

_BITS_31: Final = 2**31
_BITS_32: Final = 2**32


class MaskedTokens(NamedTuple):
    """A block of tokens corrupted for masked-language modelling, and the labels to predict."""

    ids: Integer[Tensor, "batch length"]
    """Corrupted tokens, of the shape, dtype and device of the original ones."""
    labels: Int[Tensor, "batch length"]
    """Original token where one was chosen, -100 elsewhere; int64."""


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
            are equally probable to within one part in `random_replace_prob * 2**32 / len(replacement_ids)`.
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
        tensor([[ 3,  4,  1,  1,  7,  1],
                [ 9,  1, 11,  1, 13, 14]])
        >>> masked.labels
        tensor([[-100, -100,    5,    6, -100,    8],
                [-100,   10,   11,   12, -100, -100]])
    """
    check_blocks(ids, mask, seeds=seeds, mask_prob=mask_prob, spans=spans)
    return corrupt_tokens(
        ids,
        mask,
        seeds=seeds,
        per_token=lambda rows: rows[:, None],
        index=(mask.cumsum(1) - 1).clamp(min=0),
        smallest=lambda tokens: tokens.amin(1, keepdim=True),
        mask_id=mask_id,
        replacement_ids=replacement_ids,
        special_ids=special_ids,
        mask_prob=mask_prob,
        mask_replace_prob=mask_replace_prob,
        random_replace_prob=random_replace_prob,
        spans=spans,
        min_one=min_one,
    )


def corrupt_tokens(  # noqa: D417 - the rest is described at mask_tokens
    ids: Integer[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    seeds: Int[Tensor, " rows"],
    per_token: Callable[[Tensor], Tensor],
    index: Int[Tensor, "*shape"],
    smallest: Callable[[Tensor], Tensor],
    mask_id: AnyInt,
    replacement_ids: Iterable[AnyInt] | Integer[Tensor, " replacements"],
    special_ids: Iterable[AnyInt] | Integer[Tensor, " specials"],
    mask_prob: AnyFloat | Float[Tensor, "*shape"],
    mask_replace_prob: AnyFloat,
    random_replace_prob: AnyFloat,
    spans: Int[Tensor, "*shape"] | None,
    min_one: bool,
) -> MaskedTokens:
    """Return what `mask_tokens` returns, for rows in any layout.

    Args:
        ids: tokens; the other arguments of `mask_tokens` have the same meaning.
        mask: True = real token.
        seeds: one per row.
        per_token: expands numbers of the rows to their tokens.
        index: index of each token among its row's real tokens.
        smallest: the smallest number among a row's tokens, expanded to all of them; the others are infinite.

    Example:
        >>> rows = {"seeds": torch.tensor([7]), "per_token": lambda rows: rows[[0, 0, 0]], "index": torch.arange(3)}
        >>> options = {"mask_id": 1, "replacement_ids": [], "special_ids": [], "mask_prob": 1.0, "spans": None}
        >>> fractions = {"mask_replace_prob": 1.0, "random_replace_prob": 0.0, "min_one": False}
        >>> ids = torch.tensor([5, 6, 7])
        >>> corrupt_tokens(ids, ids > 5, **rows, smallest=torch.min, **options, **fractions).ids
        tensor([5, 1, 1])
    """
    # Python's floats, because a NumPy float32 would round the sum of the two fractions.
    mask_prob = mask_prob if isinstance(mask_prob, Tensor) else float(mask_prob)
    mask_replace_prob, random_replace_prob = float(mask_replace_prob), float(random_replace_prob)
    _check_probabilities(mask_prob, mask_replace_prob, random_replace_prob)
    if isinstance(mask_prob, Tensor) and spans is not None:
        message = "mask_prob must be one number if spans are given, got a tensor. Pass a float for all spans."
        raise ValueError(message)
    mask_id = check_token(mask_id, ids.dtype, name="mask_id")
    replacements = as_tokens(replacement_ids, ids, name="replacement_ids")
    if not len(replacements):
        if random_replace_prob:
            message = (
                "replacement_ids must hold at least one token if random_replace_prob is not 0, got none. "
                "Pass tokens, or random_replace_prob=0."
            )
            raise ValueError(message)
        replacements = torch.tensor([mask_id], dtype=ids.dtype, device=ids.device)  # never used, but indexed below
    # One 63-bit hash per token, of its index among the row's real tokens: the upper 31 bits decide whether the token is
    # chosen, the lower 32 what a chosen one becomes.
    words = fold_rows(fold_in(check_word(seeds, name="seeds"), "mask"), index, per_token)
    lower = words & (_BITS_32 - 1)
    upper = words >> 32
    if spans is not None:  # the numbers at padding don't count, and aren't checked
        upper = fold_rows(fold_in(seeds, "span"), check_word(spans.where(mask, 0), name="spans"), per_token) >> 32
    is_special = torch.isin(ids, as_tokens(special_ids, ids, name="special_ids"))
    chosen = _choose(upper, mask & ~is_special, mask_prob, smallest if min_one and ids.shape[-1] else None)
    # The range of the lower word is cut in three: [0, mask_below) masks, [mask_below, replace_below) replaces, and
    # above that nothing changes. Within the middle part the word is uniform, so it also draws the replacement: offset *
    # number // width is uniform over the replacements. Both branches are computed for every token and one is selected
    # by `where`; the clamp keeps the index in range for words outside of the middle part, whose replacement is unused.
    # No product overflows: the offset is below 2**32, and the number of replacements below 2**31.
    mask_below = round(mask_replace_prob * _BITS_32)
    replace_below = round((mask_replace_prob + random_replace_prob) * _BITS_32)
    offset = (lower - mask_below).clamp(0, max(replace_below - mask_below - 1, 0))
    replacement = replacements[offset * len(replacements) // max(replace_below - mask_below, 1)]
    corrupted = torch.where(lower < mask_below, mask_id, torch.where(lower < replace_below, replacement, ids))
    return MaskedTokens(torch.where(chosen, corrupted, ids), torch.where(chosen, ids.long(), IGNORE_INDEX))


def _choose(
    words: Int[Tensor, "*shape"],
    eligible: Bool[Tensor, "*shape"],
    probability: float | Float[Tensor, "*shape"],
    smallest: Callable[[Tensor], Tensor] | None,
) -> Bool[Tensor, "*shape"]:
    """Return which eligible tokens are chosen: those whose 31-bit word is below `probability * 2**31`.

    With `smallest`, at least one per row if there is an eligible one.
    """
    bounds = (torch.as_tensor(probability, dtype=torch.float64, device=words.device) * _BITS_31).round().long()
    chosen = eligible & (words < bounds)
    if smallest is None:
        return chosen
    # A token is chosen if word / bound < 1, so the smallest quotient of a row came closest. If chance chose a token,
    # the one with the smallest quotient is among the chosen already, and nothing is added. Both numbers are below
    # 2**53 and exact in float64; the tokens of a span share a word and a bound, so they tie and are chosen together.
    could = eligible & (bounds > 0)
    quotient = torch.where(could, words / bounds.clamp(min=1).double(), torch.inf)
    return chosen | (could & (quotient == smallest(quotient)))


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
