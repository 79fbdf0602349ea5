"""What a model is to predict: the next token, or spans that were cut out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Integer
from torch import Tensor

from bionemo.core.model.loss import IGNORED_LABEL
from bionemo.core.utils.checks import AnyFloat, AnyInt, check_blocks, check_token, is_concrete
from bionemo.core.utils.hashing import fold_in

__all__ = ["CorruptedSpans", "causal_labels", "corrupt_spans"]


def causal_labels(
    ids: Integer[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch length"]:
    """Return the label of each place for next-token prediction: the token that follows it.

    For a loss over logits of the same place. (Models of the transformers library shift inside: hand them the ids.)

    Law: a row alone, in any batch and with any padding, left or right, has the same labels at its real tokens.

    Args:
        ids: padded tokens.
        mask: True = real token.

    Returns:
        int64 labels; -100 at padding and at the last token of each row.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the mask isn't of bools.

    Example:
        >>> ids = torch.tensor([[5, 6, 7, 0]])
        >>> causal_labels(ids, ids > 0)
        tensor([[   6,    7, -100, -100]])
    """
    check_blocks(ids, mask)
    labels = torch.full_like(ids, IGNORED_LABEL, dtype=torch.int64)
    labels[:, :-1] = torch.where(mask[:, :-1] & mask[:, 1:], ids[:, 1:].long(), IGNORED_LABEL)
    return labels


class CorruptedSpans(NamedTuple):
    """Tokens in which spans were cut out, and what was cut out; both padded on the right, to the width they had."""

    ids: Integer[Tensor, "batch length"]
    """The rows, with one sentinel for each span."""
    mask: Bool[Tensor, "batch length"]
    target_ids: Integer[Tensor, "batch length"]
    """Each sentinel, and behind it the tokens of its span."""
    target_mask: Bool[Tensor, "batch length"]


def corrupt_spans(
    ids: Integer[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    *,
    seeds: Int[Tensor, " batch"],
    sentinel_ids: Iterable[AnyInt],
    padding_value: AnyInt = 0,
    noise_density: AnyFloat = 0.15,
    mean_span_length: AnyFloat = 3.0,
) -> CorruptedSpans:
    """Return rows in which random spans are replaced by a sentinel each, and the spans, to be written out by a model.

    Of a row of `n` tokens, `round(n * noise_density)` are cut out, at least 1 and at most `n - 1`, in
    `round(that / mean_span_length)` spans, at least 1 and at most as many as tokens stay. All ways to part the tokens
    so are alike. A row begins with a token that stays and ends with a span; rows of fewer than 2 tokens stay whole,
    without a target.

    Laws: a row's spans depend on its seed and its number of tokens alone: they are the same in any batch and with any
    padding, left or right; the spans put back in place of their sentinels give the row.

    Args:
        ids: padded tokens, of a signed or 8-bit integer dtype, in which no sentinel occurs.
        mask: True = real token.
        seeds: one a row, 0..2**63-1.
        sentinel_ids: the sentinel of the first span, of the second, and so on.
        padding_value: what stands behind the end of a row.
        noise_density: share of the tokens that are cut out, above 0 and below 1.
        mean_span_length: their number a span, at least 1.

    Returns:
        Blocks of the shape, dtype and device of `ids`: wide enough in any case, so that shapes don't depend on data.

    Raises:
        ValueError: if a number is out of range, the shapes don't match, or there are fewer sentinels than spans in the
            longest row (in a row of the whole width, where the mask can't be looked at: in `vmap` or on an
            accelerator; inside `torch.compile` they aren't counted).
        TypeError: if the mask isn't of bools, or a token is no integer.

    Source: C. Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer"
    (2020), section 3.1.4: 15% in spans of 3.

    Example:
        >>> ids = torch.arange(10, 22).reshape(1, 12)
        >>> found = corrupt_spans(ids, ids > 0, seeds=torch.tensor([7]), sentinel_ids=[1, 2], noise_density=0.4)
        >>> found.ids[found.mask], found.target_ids[found.target_mask]
        (tensor([10, 11, 12,  1, 16, 17, 18, 19,  2]), tensor([ 1, 13, 14, 15,  2, 20, 21]))
    """
    noise_density, mean_span_length = float(noise_density), float(mean_span_length)
    if not 0 < noise_density < 1:
        message = f"noise_density must be above 0 and below 1, got noise_density={noise_density}."
        raise ValueError(message)
    if not mean_span_length >= 1:
        message = f"mean_span_length must be at least 1, got mean_span_length={mean_span_length}."
        raise ValueError(message)
    check_blocks(ids, mask, seeds=seeds)
    padding_value = check_token(padding_value, ids.dtype, name="padding_value")
    sentinel_list = [check_token(token, ids.dtype, name="sentinel_ids") for token in sentinel_ids]
    width = ids.shape[1]
    columns = torch.arange(width, device=ids.device)
    lengths = mask.sum(1)
    num_noise, num_spans = _num_noise_and_spans(lengths, noise_density, mean_span_length)
    if not torch.compiler.is_compiling():
        possible = lengths if is_concrete(mask) else torch.arange(width + 1, device="cpu")
        _check_sentinels(sentinel_list, _num_noise_and_spans(possible, noise_density, mean_span_length)[1])

    row = _compact(ids, mask, padding_value)
    real = columns < lengths[:, None]
    kept = _segments(fold_in(seeds[:, None], "kept", columns), lengths - num_noise, num_spans)
    cut = _segments(fold_in(seeds[:, None], "cut", columns), num_noise, num_spans)
    turns = torch.stack((kept, cut), dim=2).flatten(1)  # they take turns, the kept first
    ends = turns.cumsum(1)
    segment = torch.searchsorted(ends, columns.expand_as(ids).contiguous(), right=True).clamp(max=2 * width - 1)
    is_noise = real & (segment % 2 == 1)
    is_start = is_noise & ((ends - turns).gather(1, segment) == columns)
    sentinels = torch.tensor([*sentinel_list, padding_value], dtype=ids.dtype, device=ids.device)
    sentinel = sentinels[(segment // 2).clamp(max=len(sentinel_list))]

    is_left = real & (~is_noise | is_start)
    # In a target each span's tokens stand behind its sentinel: twice as many cells, of which every second is one.
    pairs = torch.stack((sentinel, row), dim=2).flatten(1)
    is_target = torch.stack((is_start, is_noise), dim=2).flatten(1)
    return CorruptedSpans(
        _compact(torch.where(is_start, sentinel, row), is_left, padding_value),
        columns < is_left.sum(1, keepdim=True),
        _compact(pairs, is_target, padding_value)[:, :width],
        columns < is_target.sum(1, keepdim=True),
    )


def _compact(values: Tensor, keep: Bool[Tensor, "batch cells"], padding_value: int) -> Tensor:
    """Return the values that are kept of each row, one behind the other from the left."""
    place = torch.where(keep, keep.cumsum(1) - 1, values.shape[1])
    block = values.new_full((len(values), values.shape[1] + 1), padding_value)
    return block.scatter(1, place, values)[:, :-1]


def _num_noise_and_spans(
    lengths: Int[Tensor, " batch"], noise_density: float, mean_span_length: float
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Return how many tokens are cut out of rows of some lengths, and in how many spans."""
    num_noise = (lengths.double() * noise_density).round().long().clamp(min=1)
    num_noise = torch.minimum(num_noise, lengths - 1).clamp(min=0)
    num_spans = (num_noise.double() / mean_span_length).round().long().clamp(min=1)
    return num_noise, torch.minimum(num_spans, torch.minimum(num_noise, lengths - num_noise))


def _segments(
    words: Int[Tensor, "batch length"], total: Int[Tensor, " batch"], number: Int[Tensor, " batch"]
) -> Int[Tensor, "batch length"]:
    """Return the lengths of the segments that the first `total` cells of each row are parted in, 0 behind the last.

    The `number - 1` boundaries are the cells of the lowest words, so that all ways to part them are alike.
    """
    columns = torch.arange(words.shape[1], device=words.device)
    inside = columns < total[:, None]
    could = inside & (columns > 0)
    rank = torch.where(could, words, 2**63 - 1).argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    boundary = could & (rank < number[:, None] - 1)
    return torch.zeros_like(words).scatter_add(1, boundary.cumsum(1), inside.long())


def _check_sentinels(sentinel_ids: Sequence[int], num_spans: Int[Tensor, " batch"]) -> None:
    needed = max(num_spans.tolist(), default=0)
    if len(sentinel_ids) < needed:
        message = f"sentinel_ids must be one for each span, got {len(sentinel_ids)} for {needed} spans."
        raise ValueError(message)
