"""The kernel of masking: which tokens are chosen and what each becomes, for rows in any layout.

The random numbers, which never change within an `ALGORITHM_VERSION`, of token `index` of a row with seed `seed`:

- Tokens are chosen in pairs by one word, `fold_in(seed, "mask", index // 2)`: its low 31 bits for the even index, bits
  32 to 62 for the odd one. A token is chosen if its 31 bits are below `mask_prob * 2**31`, rounded. With spans, the
  bits are the upper 31 of `fold_in(seed, "span", span)`.
- What a chosen token becomes is drawn by a second word, `fold_in(seed, "mask", 2**62 + index)`. Its low 32 bits say
  what happens; the upper 31, scaled to the number of replacements, say which one is drawn.
"""

from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import BLOCK, in_blocks
from bionemo.core.checks import IntArray, is_concrete
from bionemo.core.html.batch import batch_html
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.core.random.hashing import fold_mixed, mix_in
from bionemo.data.batches.tokens import are_tokens_in, take_tokens

__all__ = ["Corruption", "MaskedTokens", "TokenRows", "corrupt_tokens"]

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_BOTH_HALVES: Final = _MASK_31 << 32 | _MASK_31
_FATES: Final = 2**62
"""Where the second words begin: the first words, of pairs, have smaller numbers."""


class MaskedTokens(NamedTuple):
    """Tokens corrupted for masked-language modelling, and the labels to predict."""

    ids: Integer[Tensor, "*shape"]
    """Corrupted tokens, of the shape, dtype and device of the original ones."""
    labels: Int[Tensor, "*shape"]
    """Original token where one was chosen, -100 elsewhere; int64."""

    def _repr_html_(self) -> str:
        return batch_html(self)


class TokenRows(NamedTuple):
    """The rows that tokens belong to, in any layout."""

    seeds: Any
    """int64, one per row, in a tensor or array."""
    of_token: Any = None
    """Number of each token's row, or -1; None for a block of rows."""
    in_row: Any = None
    """Index of each token among the real tokens of its row; None if each row begins with them."""
    starts: Any = None
    """Where each row begins on one axis, and where the last one ends; None for a block of rows."""


class Corruption(NamedTuple):
    """How tokens are corrupted: the checked options of `mask_tokens`."""

    mask_id: int
    replacements: range | Integer[Tensor, " replacements"]
    special_ids: range | Integer[Tensor, " specials"]
    bounds: int | Int[Tensor, "*shape"]
    """A token is chosen if its 31 bits are below this: one number, or one per token."""
    mask_below: int
    """A chosen token is masked if its 32 bits are below this,"""
    replace_below: int
    """and replaced if they are below this."""
    min_one: bool
    spans: Int[Tensor, "*shape"] | None


def corrupt_tokens(
    ids: Integer[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    rows: TokenRows,
    corruption: Corruption,
    /,
) -> MaskedTokens:
    """Return what `mask_tokens` returns, for rows in any layout; unchecked.

    Law: a row's tokens are corrupted in the same way in any layout, on any device, compiled and under `vmap`.

    Args:
        ids: tokens.
        mask: True = real token.
        rows: the rows that they belong to, with a seed each.
        corruption: what is done to them.

    Example:
        >>> ids, zeros = torch.tensor([5, 6, 7]), torch.tensor([0, 0, 0])
        >>> rows = TokenRows(torch.tensor([42]), of_token=zeros, starts=torch.tensor([0, 3]))
        >>> none = torch.tensor([], dtype=torch.int64)
        >>> corruption = Corruption(1, none, none, 2**31, 2**32, 2**32, min_one=False, spans=None)
        >>> corrupt_tokens(ids, ids > 5, rows, corruption).ids
        tensor([5, 1, 1])
    """
    tensors = (ids, mask, rows.seeds, corruption.bounds, corruption.spans)
    if all([is_concrete(tensor) for tensor in tensors if isinstance(tensor, Tensor)]):  # noqa: C419 - dynamo follows it
        return _corrupt_arrays(ids, mask, rows, corruption)
    in_row = torch.arange(ids.shape[-1], device=ids.device) if rows.in_row is None else rows.in_row
    if rows.starts is not None:
        in_row = in_row - rows.starts[rows.of_token]
    rows, mixed = rows._replace(in_row=in_row), mix_in(rows.seeds, "mask")
    chosen = _choose(_bits(mixed, rows, ids.shape[-1], corruption.spans), ids, mask, rows, corruption)
    word = fold_mixed(_per_token(mixed, rows), in_row + _FATES)
    fate, draw = word & _MASK_32, word >> 32
    replacement = _replacement(draw, corruption).to(ids.dtype)
    corrupted = torch.where(fate < corruption.replace_below, replacement, ids)
    corrupted = torch.where(fate < corruption.mask_below, corruption.mask_id, corrupted)
    return MaskedTokens(torch.where(chosen, corrupted, ids), torch.where(chosen, ids.long(), IGNORE_INDEX))


def _per_token(numbers: Any, rows: TokenRows) -> Any:
    """Return numbers of the rows, in a shape that broadcasts to that of the tokens."""
    return numbers[:, None] if rows.of_token is None else numbers[rows.of_token]


def _corrupt_arrays(ids: Tensor, mask: Tensor, rows: TokenRows, corruption: Corruption) -> MaskedTokens:
    """Return the same in NumPy: what a token becomes is drawn for the chosen ones only."""
    arrays, before = TokenRows(*map(_as_array, rows)), ids.numpy().reshape(-1)
    mixed = mix_in(arrays.seeds, "mask")
    bits = _bits(mixed, arrays, ids.shape[-1], _as_array(corruption.spans))
    cells = np.flatnonzero((bits < _as_array(corruption.bounds)) & mask.numpy())
    tokens = before[cells]
    if len(corruption.special_ids) and (are_special := are_tokens_in(corruption.special_ids, tokens)).any():
        cells, tokens = cells[~are_special], tokens[~are_special]
    of_cell, index = _rows_of(cells, arrays, ids.shape[-1])
    if corruption.min_one and not np.bincount(of_cell, minlength=len(rows.seeds)).all():
        drawn = torch.from_numpy(bits.astype(np.int64))
        cells = np.flatnonzero(_choose(drawn, ids, mask, rows, corruption).numpy())
        of_cell, index = _rows_of(cells, arrays, ids.shape[-1])
        tokens = before[cells]
    word = fold_mixed(mixed[of_cell], index + _FATES)
    fate = word & _MASK_32
    changed = np.where(fate < corruption.mask_below, corruption.mask_id, tokens)
    (replaced,) = ((fate >= corruption.mask_below) & (fate < corruption.replace_below)).nonzero()
    changed[replaced] = _replacement(word[replaced] >> 32, corruption)
    after, labels = before.copy(), np.full(len(before), IGNORE_INDEX)
    after[cells], labels[cells] = changed, tokens
    return MaskedTokens(*(torch.from_numpy(part.reshape(ids.shape)) for part in (after, labels)))


def _as_array(part: Any) -> Any:
    """Return a tensor as an array, and anything else unchanged."""
    return part.numpy() if isinstance(part, Tensor) else part


def _rows_of(cells: IntArray, rows: TokenRows, width: int) -> tuple[Any, Any]:
    """Return the row of each token at flat indices, and the token's index in it."""
    if rows.of_token is not None:
        of_cell = rows.of_token[cells]
        return of_cell, cells - rows.starts[of_cell]
    of_cell, column = np.divmod(cells, width)
    return of_cell, column if rows.in_row is None else rows.in_row.reshape(-1)[cells]


def _replacement(draw: Any, corruption: Corruption) -> Any:
    """Return the replacements drawn by 31 bits; the mask token if there is no replacement."""
    number = len(corruption.replacements)
    if not number:
        return draw * 0 + corruption.mask_id
    return take_tokens(corruption.replacements, draw * number >> 31)


def _bits(mixed: Any, rows: TokenRows, width: int, spans: Any) -> Any:
    """Return the 31 bits that decide whether each token is chosen, in tensors for tensors and arrays for arrays."""
    if spans is not None:
        return in_blocks(_bits_of_span, _per_token(mix_in(rows.seeds, "span"), rows), spans)
    if rows.in_row is None:
        return _bits_of_pairs(mixed, width) if rows.starts is None else _bits_of_runs(mixed, rows.starts, width)
    return in_blocks(_bits_of_token, _per_token(mixed, rows), rows.in_row)


def _bits_of_span(mixed: Any, span: Any) -> Any:
    return fold_mixed(mixed, span) >> 32


def _bits_of_token(mixed: Any, index: Any) -> Any:
    return fold_mixed(mixed, index >> 1) >> 32 * (index & 1) & _MASK_31


def _bits_of_pairs(mixed: IntArray, width: int) -> NDArray[np.uint32]:
    """Return `_bits_of_token` for the first indices of each row, with one word per pair."""
    pairs = np.arange(-(-width // 2))
    words = np.empty((len(mixed), len(pairs)), dtype="<i8")  # little-endian: the low half is the even index's
    num_rows = max(BLOCK // max(len(pairs), 1), 1)  # that fit the cache
    for start in range(0, len(mixed), num_rows):
        block = slice(start, start + num_rows)
        np.bitwise_and(fold_mixed(mixed[block, None], pairs), _BOTH_HALVES, out=words[block])
    return words.view("<u4")[:, :width]


def _bits_of_runs(mixed: IntArray, starts: IntArray, width: int) -> NDArray[np.uint32]:
    """Return `_bits_of_token` for rows one after the other, as `_bits_of_pairs`; 0 after the last row."""
    sizes = starts[1:] - starts[:-1]
    pairs = (sizes + 1) >> 1
    stops = pairs.cumsum()
    mixed, first = mixed.repeat(pairs), (stops - pairs).repeat(pairs)
    words = np.empty(len(mixed), dtype="<i8")
    for start in range(0, len(words), BLOCK):
        block = slice(start, start + BLOCK)
        index = np.arange(start, start + len(words[block])) - first[block]
        np.bitwise_and(fold_mixed(mixed[block], index), _BOTH_HALVES, out=words[block])
    is_used = np.ones(2 * len(words), dtype=np.bool_)
    is_used[2 * stops[sizes & 1 == 1] - 1] = False  # a row of odd length uses only half of its last word
    bits: NDArray[np.uint32] = words.view("<u4")[is_used]
    return bits if len(bits) == width else np.append(bits, np.zeros(width - len(bits), dtype=np.uint32))


def _choose(
    bits: Int[Tensor, "*shape"],
    ids: Integer[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    rows: TokenRows,
    corruption: Corruption,
) -> Bool[Tensor, "*shape"]:
    """Return which tokens are chosen; with `min_one`, at least one per row if one can be."""
    bounds = torch.as_tensor(corruption.bounds, device=ids.device)
    eligible = mask & ~are_tokens_in(corruption.special_ids, ids)
    chosen = eligible & (bits < bounds)
    if not corruption.min_one or not ids.shape[-1]:
        return cast("Tensor", chosen)
    # A token is chosen if bits / bound < 1, so the smallest quotient of a row came closest. If chance chose a token,
    # the one with the smallest quotient is among the chosen already, and nothing is added. Both numbers are below
    # 2**53 and exact in float64; the tokens of a span share bits and a bound, so they tie and are chosen together.
    could = eligible & (bounds > 0)
    quotient = torch.where(could, bits / bounds.clamp(min=1).double(), torch.inf)
    return cast("Tensor", chosen | (could & (quotient == _lowest(quotient, rows))))


def _lowest(numbers: Tensor, rows: TokenRows) -> Tensor:
    """Return the lowest number of each token's row."""
    if rows.of_token is None:
        return numbers.amin(1, keepdim=True)
    of_token = rows.of_token.clamp(min=0)  # the tokens of no row can't be chosen
    lowest = numbers.new_full((len(rows.seeds),), torch.inf)
    return lowest.scatter_reduce(0, of_token, numbers, "amin")[of_token]
