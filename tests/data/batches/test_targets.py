"""Labels for next-token prediction, and span corruption."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from scipy import stats

from bionemo.core.padding import length_mask, pad_token_ids, unpad_token_ids
from bionemo.data import corrupt_spans, next_token_labels

SENTINELS = range(100, 150)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_label_is_the_next_token(side) -> None:
    ids, mask = pad_token_ids([[1, 2, 3], [4], [], [5, 6]], padding_len=4, padding_side=side)
    labels = next_token_labels(ids, mask)
    assert [row.tolist() for row in unpad_token_ids(labels, mask)] == [[2, 3, -100], [-100], [], [6, -100]]
    assert (labels[~mask] == -100).all()
    assert labels.dtype == torch.int64


def test_empty_blocks_have_empty_targets() -> None:
    for shape in ((0, 0), (2, 0), (0, 3)):
        ids = torch.zeros(shape, dtype=torch.int32)
        assert next_token_labels(ids, ids > 0).shape == shape
        assert corrupt_spans(ids, ids > 0, seeds=torch.arange(shape[0]), sentinel_ids=[1]).ids.shape == shape


@pytest.mark.parametrize(
    ("length", "noise", "spans"),
    [(0, 0, 0), (1, 0, 0), (2, 1, 1), (20, 3, 1), (100, 15, 5), (190, 28, 9), (512, 77, 26)],
)
def test_the_numbers_of_tokens_and_spans_are_as_documented(length: int, noise: int, spans: int) -> None:
    ids = torch.arange(512).expand(8, 512) + 200
    mask = length_mask(torch.full((8,), length), 512)
    found = corrupt_spans(ids, mask, seeds=torch.arange(8), sentinel_ids=SENTINELS)
    assert (found.mask.sum(1) == length - noise + spans).all()
    assert (found.target_mask.sum(1) == noise + spans).all()
    for block, real in ((found.ids, found.mask), (found.target_ids, found.target_mask)):
        sentinels = [[token for token in row.tolist() if token < 200] for row in unpad_token_ids(block, real)]
        assert sentinels == [list(SENTINELS[:spans])] * 8
        assert (block[~real] == 0).all()


def test_all_ways_to_cut_are_equally_probable() -> None:
    """8 tokens, 4 of them cut out in 2 spans: 3 ways to divide each half. Fails for one seed in a million."""
    number = 20_000
    ids = torch.arange(8).expand(number, 8) + 10
    found = corrupt_spans(
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        seeds=torch.arange(number),
        sentinel_ids=[1, 2],
        noise_density=0.5,
        mean_span_length=2.0,
    )
    counts = Counter(map(tuple, found.ids[:, :6].tolist()))
    ways = []
    for first_kept, first_cut in [(kept, cut) for kept in (1, 2, 3) for cut in (1, 2, 3)]:
        row = list(range(10, 18))
        ways.append((*row[:first_kept], 1, *row[first_kept + first_cut : 4 + first_cut], 2))
    assert len(ways) == len(list(combinations(range(3), 1))) ** 2 == len(counts)
    assert set(ways) == set(counts)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-6


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64])
def test_dtypes_are_kept(dtype) -> None:
    ids = torch.arange(10, 40, dtype=dtype).reshape(1, 30)
    found = corrupt_spans(ids, ids > 0, seeds=torch.tensor([3]), sentinel_ids=SENTINELS, padding_value=7)
    assert (found.ids.dtype, found.target_ids.dtype) == (dtype, dtype)
    assert (found.ids[~found.mask] == 7).all()
    assert (found.target_ids[~found.target_mask] == 7).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_density": 0.0}, "noise_density must be above 0 and below 1, got noise_density=0.0"),
        ({"noise_density": 1.0}, "noise_density must be"),
        ({"noise_density": float("nan")}, "noise_density must be"),
        ({"mean_span_length": 0.5}, "mean_span_length must be at least 1, got mean_span_length=0.5"),
        ({"sentinel_ids": [1]}, "sentinel_ids must be one for each span, got 1 for 2 spans"),
        ({"sentinel_ids": [1, 2**40]}, "sentinel_ids must fit the ids' torch.int32"),
    ],
)
def test_numbers_out_of_range_are_named(options: dict, message: str) -> None:
    ids = torch.arange(10, 50, dtype=torch.int32).reshape(1, 40)
    with pytest.raises(ValueError, match=message):
        corrupt_spans(ids, ids > 0, **({"seeds": torch.tensor([1]), "sentinel_ids": [1, 2]} | options))


@pytest.mark.usefixtures("no_type_checks")
def test_shapes_that_do_not_fit_are_named() -> None:
    ids = torch.arange(6).reshape(2, 3)
    with pytest.raises(ValueError, match=r"got ids \(2, 3\), mask \(2, 3\), seeds \(3,\)"):
        corrupt_spans(ids, ids > 0, seeds=torch.arange(3), sentinel_ids=[1])


@pytest.mark.usefixtures("no_type_checks")
def test_tokens_must_be_integers_and_masks_bools() -> None:
    ids = torch.arange(10, 50, dtype=torch.uint8).reshape(1, 40)
    given = {"seeds": torch.tensor([1]), "sentinel_ids": [1, 2]}
    with pytest.raises(ValueError, match="padding_value must fit the ids' torch.uint8, got padding_value=-1"):
        corrupt_spans(ids, ids > 0, **given, padding_value=-1)
    with pytest.raises(TypeError, match=r"sentinel_ids must be an integer, got sentinel_ids=100.9"):
        corrupt_spans(ids, ids > 0, **given | {"sentinel_ids": [100.9, 2]})
    for function in (next_token_labels, lambda *pair: corrupt_spans(*pair, **given)):
        with pytest.raises(TypeError, match="mask must be of bools"):
            function(ids, (ids > 0).long())
        with pytest.raises(ValueError, match="must have one shape"):
            function(ids, ids[:, :5] > 0)


def test_in_vmap_sentinels_are_counted_for_a_row_of_the_whole_width() -> None:
    ids = torch.arange(10, 41).reshape(1, 1, 31)  # a row of 30 has one span
    run = lambda ids: corrupt_spans(ids, ids > 0, seeds=torch.tensor([1]), sentinel_ids=[1]).ids  # noqa: E731
    with pytest.raises(ValueError, match="got 1 for 2 spans"):
        torch.vmap(run)(ids)
    assert torch.vmap(run)(ids[:, :, :30]).shape == (1, 1, 30)
    assert corrupt_spans(ids[0, :0], ids[0, :0] > 0, seeds=torch.arange(0), sentinel_ids=[]).ids.shape == (0, 31)


def test_sentinels_are_counted_for_the_longest_row() -> None:
    ids, mask = pad_token_ids([list(range(10, 20))], padding_len=512)
    found = corrupt_spans(ids, mask, seeds=torch.tensor([1]), sentinel_ids=[1])
    assert int(found.target_mask.sum()) == 3
