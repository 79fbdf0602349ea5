"""Targets of sequence models: the next token, or spans that were cut out of the input."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer
from torch import Tensor

from bionemo.core.arrays import in_blocks
from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, check_word, is_concrete
from bionemo.core.fields import to_float
from bionemo.core.html.batch import batch_html
from bionemo.core.int64 import check_signed
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.core.padding.shape import check_blocks
from bionemo.core.random.hashing import fold_mixed, mix_in
from bionemo.data.batches.tokens import as_tokens, check_ids, check_token

__all__ = ["CorruptedSpans", "corrupt_spans", "next_token_labels"]


@checked
def next_token_labels(
    ids: Integer[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
) -> Int[Tensor, "batch length"]:
    """Return labels for next-token prediction: for each token, the one that follows it in its row.

    They belong to the logits at the same index. (Models of the transformers library shift inside: give them the ids.)

    Law: the labels of a row's real tokens are the same alone, in any batch, and with any padding, left or right.

    Args:
        ids: padded tokens.
        mask: True = real token.

    Returns:
        int64 labels of the shape and device of `ids`; -100 at padding and at the last token of each row.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the mask isn't of bools.

    Example:
        >>> ids = torch.tensor([[5, 6, 7, 0]])
        >>> next_token_labels(ids, ids > 0)
        tensor([[   6,    7, -100, -100]])
    """
    check_ids(ids)
    check_blocks(ids, mask)
    labels = torch.full_like(ids, IGNORE_INDEX, dtype=torch.int64)
    labels[:, :-1] = torch.where(mask[:, :-1] & mask[:, 1:], ids[:, 1:].long(), IGNORE_INDEX)
    return labels


class CorruptedSpans(NamedTuple):
    """Token rows with spans cut out, and the spans: blocks of the input's shape, padded on the right."""

    ids: Integer[Tensor, "batch length"]
    """Rows with each span replaced by its sentinel; dtype and device of the input."""
    mask: Bool[Tensor, "batch length"]
    """True = real token or sentinel of `ids`."""
    target_ids: Integer[Tensor, "batch length"]
    """Each sentinel, followed by the tokens of its span; dtype and device of the input."""
    target_mask: Bool[Tensor, "batch length"]
    """True = real token or sentinel of `target_ids`."""

    def _repr_html_(self) -> str:
        return batch_html(self)


@checked
def corrupt_spans(
    ids: Integer[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    *,
    seeds: Int[Tensor, " batch"],
    sentinel_ids: Iterable[AnyInt] | Integer[Tensor, " sentinels"],
    padding_value: AnyInt = 0,
    noise_density: AnyFloat = 0.15,
    mean_span_length: AnyFloat = 3.0,
) -> CorruptedSpans:
    """Return rows with random spans replaced by one sentinel each, and the spans as targets (T5's objective).

    Of a row of `n` tokens, `round(n * noise_density)` are cut out, at least 1 and at most `n - 1`, in
    `round(cut_out / mean_span_length)` spans, at least 1 and at most as many as there are tokens left. All ways to
    divide the row into such spans are equally probable. A row begins with a token that stays and ends with a span. Rows
    of fewer than 2 tokens stay unchanged, with an empty target.

    Laws: a row's spans depend only on its seed and its number of tokens, so they are the same alone, in any batch, and
    with any padding, left or right. Each sentinel replaced by its span gives the row back.

    Args:
        ids: padded tokens, of a signed or 8-bit integer dtype, in which no sentinel occurs.
        mask: True = real token.
        seeds: one per row, 0..2**63-1.
        sentinel_ids: the sentinels of the first span, the second, and so on, in a range, sequence, array or tensor.
        padding_value: token that fills the end of a row.
        noise_density: fraction of the tokens that are cut out, above 0 and below 1.
        mean_span_length: mean number of tokens per span, at least 1.

    Returns:
        Blocks of the shape and device of `ids`, the tokens in its dtype. Neither a row nor its target is longer than
        the input row, so the shapes don't depend on the values.

    Raises:
        ValueError: if a number is out of range, the shapes don't match, or there are fewer sentinels than spans in the
            longest row. Where the values of the mask can't be seen, in `vmap` or on an accelerator, a row of the whole
            width counts as the longest; inside `torch.compile` the sentinels aren't counted.
        TypeError: if the mask isn't of bools, or a token is no integer.

    Source: C. Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer"
    (2020), section 3.1.4: 15% in spans of 3.

    Example:
        >>> ids = torch.arange(10, 22).reshape(1, 12)
        >>> found = corrupt_spans(ids, ids > 0, seeds=torch.tensor([7]), sentinel_ids=[1, 2], noise_density=0.4)
        >>> found.ids[found.mask], found.target_ids[found.target_mask]
        (tensor([10, 11, 12,  1, 16, 17, 18, 19,  2]), tensor([ 1, 13, 14, 15,  2, 20, 21]))
    """
    noise_density, mean_span_length = to_float(noise_density), to_float(mean_span_length)
    if not 0 < noise_density < 1:
        message = f"noise_density must be above 0 and below 1, got noise_density={noise_density}."
        raise ValueError(message)
    if not mean_span_length >= 1:
        message = f"mean_span_length must be at least 1, got mean_span_length={mean_span_length}."
        raise ValueError(message)
    check_blocks(ids, mask, seeds=seeds)
    check_signed(ids, name="ids")
    seeds = check_word(seeds, name="seeds")
    padding_value = check_token(padding_value, ids.dtype, name="padding_value")
    sentinels = as_tokens(sentinel_ids, ids, name="sentinel_ids")
    width = ids.shape[1]
    if not width:
        return CorruptedSpans(ids.clone(), mask.clone(), ids.clone(), mask.clone())
    columns = torch.arange(width, device=ids.device)
    lengths = mask.sum(1)
    num_noise, num_spans = _num_noise_and_spans(lengths, noise_density, mean_span_length)
    if not torch.compiler.is_compiling():
        possible = lengths if is_concrete(mask) else torch.arange(width + 1, device="cpu")
        _check_sentinels(len(sentinels), _num_noise_and_spans(possible, noise_density, mean_span_length)[1])

    # From here on a row is its real tokens, moved to the left, so that padding on either side makes no difference. It
    # is divided into segments that alternate: even ones are kept, odd ones are cut out. Everything below is arithmetic
    # on whole blocks, without a loop over rows or spans, so that it runs compiled, under vmap and on accelerators.
    row = _compact(ids, mask, padding_value)
    is_real = columns < lengths[:, None]
    most = max(round(width * noise_density), 1)  # spans that any row can have, and tokens in them
    kept = _segment_lengths(_words(seeds, "kept", width), lengths - num_noise, num_spans)[:, :most]
    cut = _segment_lengths(_words(seeds, "cut", most), num_noise, num_spans)
    segment_lengths = torch.stack((kept, cut), dim=2).flatten(1)  # kept, cut, kept, cut, ...
    ends = segment_lengths.cumsum(1)
    # The segment of a column is the number of segments that end at or before it. Columns of padding are after all ends;
    # the clamp only keeps them in range.
    num_ends = torch.zeros(len(ids), width + 1, dtype=torch.int64, device=ids.device)
    num_ends = num_ends.scatter_add(1, ends.clamp(max=width), torch.ones_like(ends))
    segment = num_ends.cumsum(1)[:, :-1].clamp(max=2 * most - 1)
    is_noise = is_real & (segment % 2 == 1)
    is_start = is_noise & ((ends - segment_lengths).gather(1, segment) == columns)
    # Segments 2k and 2k + 1 are the kept and the cut part of span k. One entry more than there are sentinels keeps the
    # lookup in range for columns of padding, and where the sentinels couldn't be counted.
    sentinel_table = torch.cat((sentinels, sentinels.new_full((1,), padding_value)))
    sentinel = sentinel_table[(segment // 2).clamp(max=len(sentinels))]

    # The first token of a span is replaced by the sentinel, the others of the span are dropped.
    is_left = is_real & (~is_noise | is_start)
    # In the target the tokens of a span follow its sentinel. So each column becomes a pair (sentinel, token), of which
    # the sentinel is kept at the start of a span, and the token within one.
    pairs = torch.stack((sentinel, row), dim=2).flatten(1)
    is_target = torch.stack((is_start, is_noise), dim=2).flatten(1)
    return CorruptedSpans(
        _compact(torch.where(is_start, sentinel, row), is_left, padding_value),
        columns < is_left.sum(1, keepdim=True),
        _compact(pairs, is_target, padding_value)[:, :width],
        columns < is_target.sum(1, keepdim=True),
    )


def _compact(
    values: Integer[Tensor, "batch cells"], keep: Bool[Tensor, "batch cells"], padding_value: int
) -> Integer[Tensor, "batch cells"]:
    """Return the kept values of each row moved to the left, without gaps and in order; the rest is padding.

    A kept value moves to the number of kept values before it. All others are written to one extra column, which is
    dropped: so nothing depends on how many are kept.
    """
    index = torch.where(keep, keep.cumsum(1) - 1, values.shape[1])
    block = values.new_full((len(values), values.shape[1] + 1), padding_value)
    return block.scatter(1, index, values)[:, :-1]


def _num_noise_and_spans(
    lengths: Int[Tensor, " batch"], noise_density: float, mean_span_length: float
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Return the numbers of tokens and of spans that are cut out of rows of some lengths; 0 of rows below 2 tokens."""
    num_noise = (lengths.double() * noise_density).round().long().clamp(min=1)
    num_noise = torch.minimum(num_noise, lengths - 1).clamp(min=0)
    num_spans = (num_noise.double() / mean_span_length).round().long().clamp(min=1)
    return num_noise, torch.minimum(num_spans, torch.minimum(num_noise, lengths - num_noise))


def _segment_lengths(
    words: Int[Tensor, "batch length"], total: Int[Tensor, " batch"], number: Int[Tensor, " batch"]
) -> Int[Tensor, "batch length"]:
    """Return the lengths of `number` random segments of `total` tokens for each row, 0 after the last segment.

    Law: every division into non-empty segments is equally probable: it is a choice of `number - 1` boundaries among the
    `total - 1` tokens after the first, and those with the lowest random words are chosen.
    """
    columns = torch.arange(words.shape[1], device=words.device)
    inside = columns < total[:, None]
    could = inside & (columns > 0)
    # The largest int64 is above all words, of which no two are equal, so exactly `number - 1` are below the threshold.
    words = torch.where(could, words, 2**63 - 1)
    threshold = _ascending(words).gather(1, (number[:, None] - 1).clamp(min=0))
    is_boundary = could & (words < threshold)
    # The number of boundaries up to a token is the number of its segment: adding 1 there counts the segment's tokens.
    return torch.zeros_like(words).scatter_add(1, is_boundary.cumsum(1), inside.long())


def _words(seeds: Int[Tensor, " batch"], purpose: str, width: int) -> Int[Tensor, "batch width"]:
    """Return `fold_in(seed, purpose, column)` for each row and column."""
    words: Tensor = in_blocks(fold_mixed, mix_in(seeds, purpose)[:, None], torch.arange(width, device=seeds.device))
    return words


def _ascending(words: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Return the words of each row in ascending order."""
    if is_concrete(words):  # NumPy sorts five times as fast
        return torch.from_numpy(np.sort(words.numpy(), axis=1))
    return words.sort(dim=1).values


def _check_sentinels(number: int, num_spans: Int[Tensor, " batch"]) -> None:
    needed = max(num_spans.tolist(), default=0)
    if number < needed:
        message = f"sentinel_ids must be one for each span, got {number} for {needed} spans."
        raise ValueError(message)
