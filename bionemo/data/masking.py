"""Corruption of token rows for masked-language modelling."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bionemo.core.model.loss import IGNORED_LABEL
from bionemo.core.utils.checks import AnyFloat, AnyInt, check_blocks, check_int64, check_token, is_concrete
from bionemo.core.utils.hashing import fold_in

__all__ = ["MaskedTokens", "mask_tokens"]

_BITS_31: Final = 2**31
_BITS_32: Final = 2**32


class MaskedTokens(NamedTuple):
    """A corrupted block of tokens, and what stood where it was chosen."""

    ids: Integer[Tensor, "batch length"]
    labels: Int[Tensor, "batch length"]


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        message = f"{name} must be in 0..1, got {name}={share}."
        raise ValueError(message)


def mask_tokens(
    ids: Integer[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    *,
    seeds: Int[Tensor, " batch"],
    mask_id: AnyInt,
    random_ids: Iterable[AnyInt],
    special_ids: Iterable[AnyInt] = (),
    mask_prob: AnyFloat | Float[Tensor, "batch length"] = 0.15,
    replace_prob: AnyFloat = 0.8,
    random_prob: AnyFloat = 0.1,
    spans: Int[Tensor, "batch length"] | None = None,
    at_least_one: bool = False,
) -> MaskedTokens:
    """Return a block of tokens corrupted for masked-language modelling, and the labels to learn.

    Each real token that is not special is chosen with probability `mask_prob`. Of the chosen, a share `replace_prob`
    becomes `mask_id`, a share `random_prob` one of `random_ids`, and the rest stays as it is.

    Laws: a row's choices depend on its seed and on each token's place among the row's real tokens, and on nothing else:
    a row alone, in any batch and with any padding, left or right, is corrupted alike; where `labels` is -100, `ids` is
    unchanged; of a span, all tokens that aren't special are chosen, or none.

    Args:
        ids: padded tokens, of a signed or 8-bit integer dtype.
        mask: True = real token.
        seeds: one a row, 0..2**63-1; another seed, another corruption.
        mask_id: the token that hides another.
        random_ids: the tokens that a random replacement is drawn from, each as probable as the others to within
            one part in `random_prob * 2**32 / len(random_ids)`.
        special_ids: tokens that are never chosen.
        mask_prob: share of the tokens that are chosen, in steps of 2**-31: one number, or one for each residue. (For
            one a kind of residue, index a table: `table[ids]`.)
        replace_prob: share of the chosen that are hidden.
        random_prob: share of the chosen that are replaced at random.
        spans: the number of the span that each token belongs to, from 0 on, such as its codon or helix; the tokens of
            one span are chosen together, with probability `mask_prob`. What becomes of each is its own. None lets
            each token stand for itself (by another stream than spans of one token).
        at_least_one: choose, in a row where chance chose none, the token (or span) that came nearest to it. Rows
            without a token that could be chosen stay as they are.

    Returns:
        `ids`, and `labels` with the original token where one was chosen and -100 elsewhere; the shape, dtype and device
        of `ids` (labels: int64).

    Raises:
        ValueError: if a probability isn't in 0..1, the two shares exceed 1 together, there is no token to draw a
            replacement from, a token doesn't fit the dtype of `ids`, the shapes don't match, or there are spans and a
            probability for each residue.
        TypeError: if the mask isn't of bools, or a token or a span's number is no integer.
            Tensors inside `torch.compile` and `vmap`, or on an accelerator, are checked for shapes and dtypes alone.

    Source: J. Devlin et al., "BERT: Pre-training of deep bidirectional transformers" (2019), section 3.1: 15%, and of
    these 80-10-10.

    Example:
        >>> ids = torch.arange(3, 15).reshape(2, 6)
        >>> masked = mask_tokens(
        ...     ids, ids < 13, seeds=torch.tensor([7, 8]), mask_id=1, random_ids=range(3, 15), mask_prob=0.5
        ... )
        >>> masked.ids
        tensor([[ 3,  4,  1,  1,  7,  1],
                [ 9,  1, 11,  1, 13, 14]])
        >>> masked.labels
        tensor([[-100, -100,    5,    6, -100,    8],
                [-100,   10,   11,   12, -100, -100]])
    """
    # As Python's floats, which add in float64.
    mask_prob = mask_prob if isinstance(mask_prob, Tensor) else float(mask_prob)
    replace_prob, random_prob, random_ids = float(replace_prob), float(random_prob), list(random_ids)
    _check_shares(mask_prob, replace_prob, random_prob, spans)
    check_blocks(ids, mask, seeds=seeds, mask_prob=mask_prob, spans=spans)
    mask_id = check_token(mask_id, ids.dtype, name="mask_id")
    choices = _as_tokens(random_ids or [mask_id], ids, "random_ids")
    if random_prob and not random_ids:
        message = "random_ids must hold at least one token where random_prob is not 0, got none."
        raise ValueError(message)
    # One 63-bit hash a token: its upper 31 bits choose, its lower 32 say what becomes of the chosen.
    words = fold_in(seeds[:, None], "mask", (mask.cumsum(1) - 1).clamp(min=0))
    lower = words & (_BITS_32 - 1)
    upper = (words if spans is None else fold_in(seeds[:, None], "span", _of_real_tokens(spans, mask))) >> 32
    special = torch.isin(ids, _as_tokens(special_ids, ids, "special_ids"))
    chosen = _choose(upper, mask & ~special, mask_prob, at_least_one=at_least_one)
    hide_below = round(replace_prob * _BITS_32)
    random_below = round((replace_prob + random_prob) * _BITS_32)
    # Within its share the lower word is uniform, and so draws the replacement as well.
    place = (lower - hide_below).clamp(0, max(random_below - hide_below - 1, 0)) * len(choices)
    replacement = choices[place // max(random_below - hide_below, 1)]
    corrupted = torch.where(lower < hide_below, mask_id, torch.where(lower < random_below, replacement, ids))
    return MaskedTokens(torch.where(chosen, corrupted, ids), torch.where(chosen, ids.long(), IGNORED_LABEL))


def _of_real_tokens(spans: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]) -> Tensor:
    """Return the spans' numbers, 0 at padding: what stands there is nobody's business."""
    return check_int64(spans.where(mask, 0), name="spans")


def _choose(
    words: Int[Tensor, "batch length"],
    eligible: Bool[Tensor, "batch length"],
    probability: float | Float[Tensor, "batch length"],
    *,
    at_least_one: bool,
) -> Bool[Tensor, "batch length"]:
    """Return which tokens are chosen by their 31-bit words: those below a bound."""
    bounds = (torch.as_tensor(probability, dtype=torch.float64, device=words.device) * _BITS_31).round().long()
    chosen = eligible & (words < bounds)
    if not at_least_one or not words.shape[1]:
        return chosen
    could = eligible & (bounds > 0)
    distance = torch.where(could, words / bounds.clamp(min=1).double(), torch.inf)
    return chosen | (could & (distance == distance.amin(1, keepdim=True)))


def _check_shares(
    mask_prob: float | Tensor, replace_prob: float, random_prob: float, spans: Int[Tensor, "batch length"] | None
) -> None:
    if isinstance(mask_prob, Tensor):
        if spans is not None:
            message = "mask_prob must be one number where spans are given, got a tensor: a span has one chance."
            raise ValueError(message)
        if is_concrete(mask_prob) and mask_prob.numel():
            for bound in (mask_prob.min(), mask_prob.max()):
                _check_share("mask_prob", float(bound))
    else:
        _check_share("mask_prob", mask_prob)
    _check_share("replace_prob", replace_prob)
    _check_share("random_prob", random_prob)
    _check_share("replace_prob + random_prob", replace_prob + random_prob)


def _as_tokens(tokens: Iterable[AnyInt], ids: Tensor, name: str) -> Tensor:
    """Return tokens as a tensor of the kind of ids."""
    checked = [check_token(token, ids.dtype, name=name) for token in tokens]
    return torch.tensor(checked, dtype=ids.dtype, device=ids.device)
