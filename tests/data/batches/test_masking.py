"""Corruption for masked-language modelling."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from bionemo.core.padding import length_mask
from bionemo.data import mask_tokens
from bionemo.data.batches.masking import _choose

IDS = torch.randint(10, 30, (64, 200), generator=torch.Generator().manual_seed(0))
MASK = length_mask(torch.arange(137, 201), 200)
SEEDS = torch.arange(64)
OPTIONS = {"mask_id": 1, "replacement_ids": range(10, 30)}


def test_pinned_values() -> None:
    masked = mask_tokens(
        torch.arange(10, 22).reshape(1, 12),
        torch.ones(1, 12, dtype=torch.bool),
        seeds=torch.tensor([42]),
        mask_prob=0.5,
        **OPTIONS,
    )
    assert masked.ids.tolist() == [[10, 1, 1, 13, 1, 15, 1, 17, 18, 19, 20, 1]]
    assert masked.labels.tolist() == [[-100, 11, 12, 13, 14, -100, 16, 17, 18, -100, -100, 21]]


def test_labels_are_the_original_tokens_and_tokens_without_a_label_are_unchanged() -> None:
    masked = mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS)
    chosen = masked.labels != -100
    assert torch.equal(masked.ids[~chosen], IDS[~chosen])
    assert torch.equal(masked.labels[chosen], IDS[chosen])
    assert not (chosen & ~MASK).any()
    assert masked.ids.shape == masked.labels.shape == IDS.shape


def test_the_fractions_follow_the_probabilities() -> None:
    ids = torch.full((200, 500), 10)
    masked = mask_tokens(ids, torch.ones_like(ids, dtype=torch.bool), seeds=torch.arange(200), **OPTIONS)
    chosen = masked.labels != -100
    among = masked.ids[chosen]
    # One in twenty random replacements is the original token, which counts as unchanged.
    found = [
        int((~chosen).sum()),
        int((among == 1).sum()),
        int(((among != 1) & (among != 10)).sum()),
        int((among == 10).sum()),
    ]
    expected = np.array([0.85, 0.15 * 0.8, 0.15 * 0.1 * 19 / 20, 0.15 * (0.1 + 0.1 / 20)]) * ids.numel()
    assert stats.chisquare(found, expected).pvalue > 1e-6


def test_replacements_are_drawn_uniformly() -> None:
    ids = torch.full((200, 500), 5)
    masked = mask_tokens(
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        seeds=torch.arange(200),
        mask_id=1,
        replacement_ids=range(10, 30),
        mask_prob=1.0,
        mask_replace_prob=0.0,
        random_replace_prob=1.0,
    )
    assert stats.chisquare(np.bincount(masked.ids.flatten())[10:]).pvalue > 1e-6
    assert set(masked.ids.unique().tolist()) == set(range(10, 30))


def test_rows_and_columns_are_chosen_independently() -> None:
    chosen = (mask_tokens(IDS, torch.ones_like(MASK), seeds=SEEDS, mask_prob=0.5, **OPTIONS).labels != -100).double()
    assert abs(float((chosen[:, 1:] == chosen[:, :-1]).double().mean()) - 0.5) < 6 * 0.5 / (64 * 199) ** 0.5
    assert abs(float((chosen[1:] == chosen[:-1]).double().mean()) - 0.5) < 6 * 0.5 / (63 * 200) ** 0.5


@pytest.mark.parametrize("kind", [float, lambda prob: torch.full((1, 4), prob, dtype=torch.float64)])
def test_a_token_is_chosen_if_its_word_is_below_the_probability_in_steps_of_2_to_the_minus_31(kind) -> None:
    words, eligible = torch.tensor([[0, 2**30 - 1, 2**30, 2**31 - 1]]), torch.ones(1, 4, dtype=torch.bool)
    for prob, number in ((0, 0), (2**-31, 1), (0.5, 2), (0.5 + 2**-31, 3), (1 - 2**-31, 3), (1, 4)):
        chosen = _choose(words, eligible, kind(prob), None)
        assert chosen.tolist() == [[index < number for index in range(4)]], prob


def test_special_tokens_are_never_chosen() -> None:
    masked = mask_tokens(IDS, MASK, seeds=SEEDS, special_ids=(12, 17), mask_prob=1.0, **OPTIONS)
    special = (IDS == 12) | (IDS == 17)
    assert (masked.labels[special] == -100).all()
    assert (masked.labels[~special & MASK] != -100).all()


def test_a_row_is_masked_in_the_same_way_alone_and_in_any_batch_and_padding() -> None:
    whole = mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS)
    for row in (0, 17, 63):
        length = int(MASK[row].sum())
        alone = mask_tokens(
            IDS[row : row + 1, :length], MASK[row : row + 1, :length], seeds=SEEDS[row : row + 1], **OPTIONS
        )
        assert torch.equal(alone.ids[0], whole.ids[row, :length])
        assert torch.equal(alone.labels[0], whole.labels[row, :length])
        left_ids, left_mask = (torch.nn.functional.pad(part[row : row + 1, :length], (7, 2)) for part in (IDS, MASK))
        left = mask_tokens(left_ids, left_mask, seeds=SEEDS[row : row + 1], **OPTIONS)
        assert torch.equal(left.labels[0, 7 : 7 + length], whole.labels[row, :length])


def test_probabilities_of_zero_and_one() -> None:
    nothing = mask_tokens(IDS, MASK, seeds=SEEDS, mask_prob=0.0, **OPTIONS)
    assert torch.equal(nothing.ids, IDS)
    assert (nothing.labels == -100).all()
    everything = mask_tokens(
        IDS,
        MASK,
        seeds=SEEDS,
        mask_id=1,
        replacement_ids=(),
        mask_prob=1.0,
        mask_replace_prob=1.0,
        random_replace_prob=0.0,
    )
    assert (everything.ids[MASK] == 1).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_an_empty_batch(shape: tuple[int, int]) -> None:
    masked = mask_tokens(
        torch.zeros(shape, dtype=torch.int64),
        torch.ones(shape, dtype=torch.bool),
        seeds=torch.zeros(shape[0], dtype=torch.int64),
        **OPTIONS,
    )
    assert masked.ids.shape == masked.labels.shape == shape


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_the_ids_keep_their_dtype(dtype: torch.dtype) -> None:
    masked = mask_tokens(IDS.to(dtype), MASK, seeds=SEEDS, **OPTIONS)
    assert (masked.ids.dtype, masked.labels.dtype) == (dtype, torch.int64)
    assert torch.equal(masked.ids.long(), mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS).ids)


def test_inputs_are_unchanged() -> None:
    ids, mask, seeds = IDS.clone(), MASK.clone(), SEEDS.clone()
    mask_tokens(ids, mask, seeds=seeds, **OPTIONS)
    assert torch.equal(ids, IDS)
    assert torch.equal(mask, MASK)
    assert torch.equal(seeds, SEEDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_prob": 1.5}, r"mask_prob must be in 0\.\.1, got mask_prob=1.5"),
        ({"mask_prob": float("nan")}, "got mask_prob=nan"),
        ({"mask_replace_prob": -0.1}, "got mask_replace_prob=-0.1"),
        (
            {"mask_replace_prob": 0.8, "random_replace_prob": 0.3},
            r"mask_replace_prob \+ random_replace_prob must be in 0\.\.1",
        ),
        ({"replacement_ids": ()}, "replacement_ids must hold at least one token"),
        ({"seeds": torch.full((64,), -1)}, "seeds must not be negative, got -1"),
    ],
)
def test_invalid_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_tokens(IDS, MASK, **{"seeds": SEEDS, **OPTIONS, **options})


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": torch.tensor([7])}, r"seeds .*, got ids \(64, 200\), mask \(64, 200\), seeds \(1,\)"),
        ({"mask": MASK[:, :9]}, r"must have one shape of rows and columns.*, got ids \(64, 200\), mask \(64, 9\)"),
        ({"ids": IDS.to(torch.uint8), "mask_id": -1}, "mask_id must fit the ids' torch.uint8, got mask_id=-1"),
        (
            {"ids": IDS.to(torch.uint8), "replacement_ids": (5, 256)},
            "replacement_ids must fit the ids' torch.uint8, got replacement_ids=256",
        ),
    ],
)
def test_shapes_and_tokens_that_do_not_fit_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_tokens(**{"ids": IDS, "mask": MASK, "seeds": SEEDS, **OPTIONS, **options})


def test_each_token_is_chosen_with_its_own_probability() -> None:
    """Counts of twenty kinds against their probabilities by chi-square; fails for one seed in a million."""
    table = torch.linspace(0, 0.95, 20)
    ids = torch.arange(20).repeat(300, 25)
    masked = mask_tokens(
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        seeds=torch.arange(300),
        mask_prob=table[ids],
        mask_id=1,
        replacement_ids=range(20),
    )
    counts = np.bincount(ids[masked.labels != -100], minlength=20)
    number = ids.numel() / 20
    assert counts[0] == 0
    prob = table.double().numpy()[1:]
    statistic = (((counts[1:] - number * prob) ** 2) / (number * prob * (1 - prob))).sum()
    assert stats.chi2.sf(statistic, 19) > 1e-6


def test_spans_are_chosen_whole_and_with_the_given_probability() -> None:
    """Fails for one seed in a million."""
    ids = torch.full((200, 300), 10)
    spans = (torch.arange(300) // 3).expand(200, 300)
    everything = torch.ones_like(ids, dtype=torch.bool)
    masked = mask_tokens(ids, everything, seeds=torch.arange(200), spans=spans, mask_prob=0.3, **OPTIONS)
    by_span = (masked.labels != -100).reshape(200, 100, 3)
    assert torch.equal(by_span.all(2), by_span.any(2))
    assert stats.binomtest(int(by_span.all(2).sum()), 20_000, 0.3).pvalue > 1e-6
    hidden = (masked.ids == 1).reshape(200, 100, 3)[by_span.all(2)]
    assert (hidden.any(1) & ~hidden.all(1)).any()  # what each token becomes is drawn for each


def test_min_one_chooses_one_in_each_row_without_any() -> None:
    everything = torch.ones_like(IDS, dtype=torch.bool)
    options = OPTIONS | {"mask_prob": 0.001, "seeds": SEEDS}
    without = (mask_tokens(IDS, everything, **options).labels != -100).sum(1)
    chosen = (mask_tokens(IDS, everything, min_one=True, **options).labels != -100).sum(1)
    assert (without == 0).any()
    assert torch.equal(chosen, without.clamp(min=1))
    indices = (mask_tokens(IDS, everything, min_one=True, **options).labels != -100).int().argmax(1)
    assert len(indices.unique()) > 40  # anywhere in the row
    nothing = mask_tokens(IDS, torch.zeros_like(everything), min_one=True, **options)
    assert (nothing.labels == -100).all()
    never = mask_tokens(IDS, everything, min_one=True, **options | {"mask_prob": 0.0})
    assert (never.labels == -100).all()
    empty = mask_tokens(IDS[:, :0], MASK[:, :0], min_one=True, **options)
    assert empty.ids.shape == (64, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_prob": torch.full(IDS.shape, 1.5)}, r"mask_prob must be in 0..1, got mask_prob=1.5"),
        ({"mask_prob": torch.linspace(-0.5, 1, IDS.numel()).reshape(IDS.shape)}, "got mask_prob=-0.5"),
        ({"mask_prob": torch.full(IDS.shape, torch.nan)}, "mask_prob must be in"),
        (
            {"mask_prob": torch.ones(IDS.shape), "spans": torch.zeros_like(IDS)},
            "mask_prob must be one number if spans are given",
        ),
        ({"spans": torch.full(IDS.shape, -1)}, "must not be negative, got -1"),
    ],
)
def test_invalid_probabilities_per_token_and_spans_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS | options)


@pytest.mark.usefixtures("no_type_checks")
def test_probabilities_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match=r"mask_prob \(64,\), seeds"):
        mask_tokens(IDS, MASK, seeds=SEEDS, mask_prob=torch.ones(64), **OPTIONS)


@pytest.mark.usefixtures("no_type_checks")
def test_tokens_must_be_integers_and_masks_bools() -> None:
    for name, value in (("mask_id", 1.5), ("replacement_ids", [10.7]), ("special_ids", [10.7])):
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS | {name: value})
    with pytest.raises(ValueError, match="special_ids must fit the ids' torch.uint8, got special_ids=300"):
        mask_tokens(IDS.to(torch.uint8), MASK, seeds=SEEDS, **OPTIONS | {"special_ids": [300]})
    with pytest.raises(TypeError, match="mask must be of bools"):
        mask_tokens(IDS, MASK.long(), seeds=SEEDS, **OPTIONS)


@pytest.mark.parametrize("kind", [list, tuple, iter, np.array, pd.Series, torch.tensor])
def test_tokens_may_come_in_any_container(kind) -> None:
    options = OPTIONS | {"special_ids": (12, 17)}
    expected = mask_tokens(IDS, MASK, seeds=SEEDS, **options)
    given = {name: kind(list(options[name])) for name in ("replacement_ids", "special_ids")}
    found = mask_tokens(IDS, MASK, seeds=SEEDS, **options | given)
    assert torch.equal(found.ids, expected.ids)
    assert torch.equal(found.labels, expected.labels)


@pytest.mark.parametrize("seed", range(8))
def test_min_one_chooses_the_token_that_came_closest_to_being_chosen(seed: int) -> None:
    """Of all probabilities raised together, the first token that is chosen is the one that came closest."""
    factors = torch.logspace(0, -5, 500, dtype=torch.float64)  # one row each, with the same seed
    prob = torch.linspace(1.0, 0.02, 60, dtype=torch.float64) * factors[:, None]
    ids = torch.full(prob.shape, 10)
    options = OPTIONS | {"seeds": torch.full((500,), seed), "mask_prob": prob}
    without = mask_tokens(ids, ids > 0, **options).labels != -100
    counts = without.sum(1)
    closest = without[counts == 1][-1].int().argmax()  # in the last row with any
    forced = mask_tokens(ids, ids > 0, min_one=True, **options).labels != -100
    assert (counts == 0).any()
    assert torch.equal(forced.sum(1), counts.clamp(min=1))
    assert (forced[counts == 0].int().argmax(1) == closest).all()


def test_min_one_adds_none_to_rows_that_have_one() -> None:
    table = torch.linspace(0.01, 0.2, IDS.shape[1]).expand(IDS.shape)
    options = OPTIONS | {"seeds": SEEDS, "mask_prob": table * 0.02}
    everything = torch.ones_like(MASK)
    without = (mask_tokens(IDS, everything, **options).labels != -100).sum(1)
    chosen = (mask_tokens(IDS, everything, min_one=True, **options).labels != -100).sum(1)
    assert (without > 1).any()
    assert torch.equal(chosen, without.clamp(min=1))


def test_the_contents_of_padding_do_not_matter() -> None:
    spans = (torch.arange(200) // 3).expand(64, 200)
    options = OPTIONS | {"seeds": SEEDS, "mask_prob": 0.3}
    expected = mask_tokens(IDS, MASK, spans=spans, **options)
    found = mask_tokens(IDS, MASK, spans=spans.where(MASK, -1), **options)
    assert torch.equal(found.ids, expected.ids)
