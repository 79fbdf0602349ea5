"""Corruption for masked-language modelling."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from bionemo.core.padding import length_mask
from bionemo.core.random import fold_in
from bionemo.data import chosen_labels, mask_tokens

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
    assert masked.ids.tolist() == [[10, 11, 12, 1, 12, 1, 16, 27, 18, 19, 20, 21]]
    assert masked.labels.tolist() == [[-100, -100, -100, 13, 14, 15, -100, 17, -100, 19, -100, -100]]


def test_labels_are_the_original_tokens_and_tokens_without_a_label_are_unchanged() -> None:
    masked = mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS)
    chosen = masked.labels != -100
    assert torch.equal(masked.ids[~chosen], IDS[~chosen])
    assert torch.equal(masked.labels[chosen], IDS[chosen])
    assert not (chosen & ~MASK).any()
    assert masked.ids.shape == masked.labels.shape == IDS.shape


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_can_be_made_from_the_ids_and_a_mask_of_the_chosen(dtype: torch.dtype) -> None:
    ids = IDS.to(dtype)
    labels = mask_tokens(ids, MASK, seeds=SEEDS, **OPTIONS).labels
    made = chosen_labels(ids, labels != -100)
    assert made.dtype == torch.int64
    assert torch.equal(made, labels)


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


@pytest.mark.parametrize("prob", [0.15, 0.5])
def test_neighbors_rows_and_seeds_are_chosen_independently(prob: float) -> None:
    """Counts of pairs by chi-square against the product of their probabilities; fails for one seed in a million."""
    ids = torch.full((500, 400), 10)
    options = OPTIONS | {"mask_prob": prob}
    seeds = torch.arange(500)
    masked = mask_tokens(ids, ids > 0, seeds=seeds, **options)
    chosen = masked.labels != -100
    other = mask_tokens(ids, ids > 0, seeds=seeds + 2**32, **options).labels != -100
    pairs = {f"columns {lag} apart": (chosen[:, :-lag], chosen[:, lag:]) for lag in (1, 2, 3, 200)}
    pairs |= {"in one word": (chosen[:, ::2], chosen[:, 1::2]), "in two words": (chosen[:, 1:-1:2], chosen[:, 2::2])}
    pairs |= {f"rows {lag} apart": (chosen[:-lag], chosen[lag:]) for lag in (1, 2, 64)}
    pairs |= {"seeds that differ in a high bit": (chosen, other)}
    pairs |= {"chosen, and the next is masked": (chosen[:, :-1], masked.ids[:, 1:] == 1)}
    for name, (first, second) in pairs.items():
        counts = np.bincount((2 * first + second).flatten(), minlength=4)
        odds = (1 - prob, prob), (1 - 0.8 * prob, 0.8 * prob) if "masked" in name else (1 - prob, prob)
        expected = np.outer(*odds).ravel() * counts.sum()
        assert stats.chisquare(counts, expected).pvalue > 1e-6 / len(pairs), name


def test_what_a_token_becomes_is_independent_of_its_neighbors_and_of_the_replacement() -> None:
    """Fails for one seed in a million."""
    ids = torch.full((500, 400), 5)
    halves = {"mask_prob": 1.0, "mask_replace_prob": 0.5, "random_replace_prob": 0.5}
    masked = mask_tokens(ids, ids > 0, seeds=torch.arange(500), **OPTIONS | halves)
    is_masked = masked.ids == 1
    counts = np.bincount((2 * is_masked[:, 1:] + is_masked[:, :-1]).flatten(), minlength=4)
    assert stats.chisquare(counts).pvalue > 3e-7
    drawn = masked.ids.masked_select(~is_masked)
    before = is_masked.roll(1, 1).masked_select(~is_masked)  # whether the token before it is masked
    counts = np.bincount(2 * (drawn - 10) + before, minlength=40)
    assert stats.chisquare(counts).pvalue > 3e-7


def expected_token(token: int, index: int, seed: int, prob: float, replacements: list[int]) -> tuple[int, int]:
    """Return a token and its label by the definition of the stream, in Python ints."""
    word = fold_in(seed, "mask", index // 2)
    if (word >> 32 if index % 2 else word % 2**31) >= round(prob * 2**31):
        return token, -100
    word = fold_in(seed, "mask", 2**62 + index)
    fate, draw = word % 2**32, word >> 32
    if fate < round(0.8 * 2**32):
        return 1, token
    if fate < round((0.8 + 0.1) * 2**32):
        return replacements[draw * len(replacements) >> 31], token
    return token, token


@pytest.mark.parametrize(
    ("prob", "replacements"),
    [
        *((prob, range(10, 30)) for prob in (0.0, 2**-31, 0.15, 0.5, 0.5 + 2**-31, 1 - 2**-31, 1.0)),
        *((1.0, replacements) for replacements in (range(29, 9, -3), torch.tensor([28, 11]), np.array([13]))),
    ],
)
@pytest.mark.parametrize("kind", [float, lambda prob: torch.full((64, 200), prob, dtype=torch.float64)])
def test_the_stream_is_what_its_documentation_says(prob: float, kind, replacements) -> None:
    options = OPTIONS | {"replacement_ids": replacements, "mask_prob": kind(prob)}
    masked = mask_tokens(IDS, MASK, seeds=SEEDS, **options)
    table = [int(token) for token in replacements]
    for row in (0, 63):
        length = int(MASK[row].sum())
        tokens = enumerate(IDS[row, :length].tolist())
        expected = [expected_token(token, index, row, prob, table) for index, token in tokens]
        found = zip(masked.ids[row, :length].tolist(), masked.labels[row, :length].tolist(), strict=True)
        assert list(found) == expected


@pytest.mark.parametrize(
    "options",
    [{}, {"min_one": True, "mask_prob": 0.001}, {"spans": IDS // 4}, {"special_ids": range(10, 28)}],
    ids=["plain", "min one", "spans", "special"],
)
def test_arrays_and_tensors_that_cannot_be_looked_at_give_the_same(options: dict) -> None:
    """Under vmap, nothing depends on values: as compiled, and on an accelerator."""
    whole = mask_tokens(IDS, MASK, seeds=SEEDS, **OPTIONS | options)
    blocks = {name: value for name, value in options.items() if isinstance(value, torch.Tensor)}

    def one(ids: torch.Tensor, mask: torch.Tensor, seed: torch.Tensor, part: dict) -> tuple[torch.Tensor, ...]:
        part = {name: value[None] for name, value in part.items()}
        return tuple(mask_tokens(ids[None], mask[None], seeds=seed[None], **OPTIONS | options | part))

    found = torch.vmap(one)(IDS, MASK, SEEDS, blocks)
    assert torch.equal(found[0][:, 0], whole.ids)
    assert torch.equal(found[1][:, 0], whole.labels)


def test_under_vmap_one_tensor_may_be_batched_and_the_others_not() -> None:
    """The mask can be looked at then, and the ids or seeds can't."""

    def run(ids: torch.Tensor, seeds: torch.Tensor, **options) -> torch.Tensor:
        return mask_tokens(ids, MASK, seeds=seeds, **OPTIONS | options).ids

    expected = run(IDS, SEEDS)
    assert torch.equal(torch.vmap(lambda ids: run(ids, SEEDS))(IDS[None])[0], expected)
    assert torch.equal(torch.vmap(lambda seeds: run(IDS, seeds))(SEEDS[None])[0], expected)
    prob = torch.full(IDS.shape, 0.15, dtype=torch.float64)
    assert torch.equal(torch.vmap(lambda prob: run(IDS, SEEDS, mask_prob=prob))(prob[None])[0], expected)
    assert torch.equal(torch.vmap(lambda spans: run(IDS, SEEDS, spans=spans))(IDS[None])[0], run(IDS, SEEDS, spans=IDS))


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
