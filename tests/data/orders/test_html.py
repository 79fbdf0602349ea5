"""Orders, pipelines and loaders as HTML: always balanced, escaped, fast, and with what they hold."""

from functools import partial

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.random import fold_in
from bionemo.data import (
    BlockShuffleOrder,
    ClusterOrder,
    EpochBatchOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    SkipOrder,
    Source,
    TokenBudgetOrder,
    WeightedEpochOrder,
    WeightedOrder,
    collate_packed,
    order_html,
    random_crop,
)
from bionemo.data.orders.html import lookup_cost, short_text
from bionemo.data.pipes import loader
from tests.core.test_html import parsed

LENGTHS = np.arange(5, 25)


def words_of(shown) -> str:
    return " ".join(parsed(shown._repr_html_() if hasattr(shown, "_repr_html_") else order_html(shown)).words)


@attrs.frozen
class Mine:
    """An order of a user."""

    num_samples: int | None = 5
    num_sources: int = 1
    name: str = "<script>alert(1)</script>"
    error: Exception | None = None

    def index_at(self, position):
        if self.error:
            raise self.error
        return SampleIndex(0, 0, position)


@st.composite
def orders(draw):
    seed = draw(st.integers(0, 2**63 - 1))
    num_samples = draw(st.none() | st.integers(0, 2**62))
    length = draw(st.integers(1, 2**62))
    base = EpochOrder(length=20, seed=seed, num_samples=draw(st.none() | st.integers(0, 99)))
    bins = {"order": base, "lengths": LENGTHS, "max_tokens": 32, "bins_per_step": 2, "window_size": 9, "seed": 1}
    other = EpochOrder(length=length, seed=fold_in(seed, "other"), num_samples=num_samples)
    return draw(
        st.sampled_from(
            [
                other,
                BlockShuffleOrder(length=length, block_size=3, blocks_per_window=2, seed=1, num_samples=num_samples),
                ResampleOrder(length=length, seed=seed, num_samples=num_samples),
                WeightedOrder(weights=[1, 2], seed=1, num_samples=num_samples),
                WeightedEpochOrder(weights=[1, 2], seed=1, samples_per_epoch=2),
                ClusterOrder(clusters=[1, 0, 1], seed=7),
                LengthGroupedOrder(order=base, lengths=LENGTHS, window_size=8, batch_size=4, seed=1),
                PackedOrder(**bins),
                TokenBudgetOrder(**bins),
                SkipOrder(order=EpochOrder(length=20, seed=seed), positions=[3, (5, 9)]),
                EpochBatchOrder(order=base, batch_size=3),
                MixtureOrder(orders=[base, other], weights=(2, 1), changes=[(5, (1, 3))]),
                Mine(num_samples, name=draw(st.text(max_size=20))),
            ]
        )
    )


@given(order=orders())
def test_every_order_gives_small_balanced_html_with_its_fields(order) -> None:
    html = order_html(order)
    words = parsed(html).words
    assert type(order).__name__ in words
    assert len(html) < 125_000
    for name in attrs.fields_dict(type(order)):
        assert name.removeprefix("_") in words


def test_text_is_escaped() -> None:
    assert "<script>" not in order_html(Mine())
    assert "<script>" in "".join(parsed(order_html(Mine())).words)


def test_the_first_samples_are_those_of_the_order() -> None:
    order = EpochOrder(length=50, seed=7, num_samples=9)
    shown = words_of(order).split("first samples ")[1].split()
    assert [int(word) for word in shown] == [order.index_at(position).idx for position in range(9)]
    assert words_of(EpochOrder(length=50, seed=7)).endswith("...")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (EpochOrder(length=1000, seed=7, num_samples=2500), "2,500 = 2.5 epochs, 1,000 per epoch"),
        (EpochOrder(length=1000, seed=7, num_samples=0), "first samples none"),
        (EpochOrder(length=10**12, seed=7), "no end, 1,000,000,000,000 per epoch"),
        (ResampleOrder(length=10, seed=7), "no end"),
        (WeightedOrder(weights=np.ones(2**21), seed=1), "FrozenArray(float64[2097152])"),
        (Mine(error=KeyError("<b>")), "index_at raises KeyError: '<b>'"),
        (Mine(num_samples=0), "none"),
    ],
)
def test_what_is_shown_of_an_order(order, words) -> None:
    assert words in words_of(order)


def test_a_mixture_shows_its_sources_and_all_changes_of_weights() -> None:
    orders = [EpochOrder(length=length, seed=length) for length in (30, 40)]
    order = MixtureOrder(orders=orders, weights=(3, 1), changes=[(1000, (1, 1))])
    html = order_html(order)
    assert "2 sources" in html
    assert "1: 40 samples" in html
    assert "from position 1,000" in html
    assert "source 0: 3/4 = 75.00%" in html
    assert "width:75.00%" in html
    assert html.count("<details>") == 2  # one per order
    outer = MixtureOrder(orders=[order, EpochOrder(length=5, seed=1)], weights=(1, 1))
    assert "sources 0 to 1: 1/2" in order_html(outer)


def test_an_ending_of_a_source_is_shown_as_a_change() -> None:
    orders = [EpochOrder(length=9, seed=seed, num_samples=num) for seed, num in ((1, 4), (2, None))]
    order = MixtureOrder(orders=orders, weights=(1, 1), stopping_strategy="all_exhausted_without_replacement")
    assert order.stretches == ((0, (1, 1)), (8, (0, 1)))
    assert "from position 8" in order_html(order)


def test_many_sources_and_changes_are_cut() -> None:
    orders = [EpochOrder(length=5, seed=seed) for seed in range(100)]
    changes = [(position, [1 + position] * 100) for position in range(1, 50)]
    html = order_html(MixtureOrder(orders=orders, weights=[1] * 100, changes=changes))
    assert html.count("<details>") == 8
    assert "... 92 more" in html
    assert "... 42 more" in html
    assert len(html) < 125_000


def test_nothing_slow_is_computed() -> None:
    lengths = np.full(2**22, 100)
    base = EpochOrder(length=2**22, seed=1)
    large = PackedOrder(order=base, lengths=lengths, max_tokens=128, bins_per_step=1, window_size=2**22, seed=1)
    mixed = MixtureOrder(orders=[large, EpochOrder(length=3, seed=9)], weights=(1, 1))
    for order in (large, mixed):
        words = words_of(order)
        assert "not shown" in words
        assert "sha256" not in words
    assert large.window_at.cache_info().currsize == 0


def test_costs() -> None:
    base = EpochOrder(length=20, seed=1, num_samples=40)
    grouped = LengthGroupedOrder(order=base, lengths=LENGTHS, window_size=8, batch_size=4, seed=1)
    assert lookup_cost(base) == 0
    assert lookup_cost(grouped) == 16 * 8
    assert lookup_cost(WeightedOrder(weights=[1, 2, 3], seed=1)) == 3
    assert lookup_cost(Mine()) == 0
    assert short_text((base,)) == f"({base!r},)"


def test_what_is_no_order_is_refused() -> None:
    with pytest.raises(TypeError, match=r"order must have num_samples, num_sources and index_at, got range\(0, 3\)"):
        order_html(range(3))


class Huge:
    """A data set whose samples must not be read."""

    def __len__(self) -> int:
        return 10**12

    def __getitem__(self, index: int) -> int:
        raise AssertionError(index)


def test_a_pipeline_over_a_huge_data_set_is_shown_without_reading() -> None:
    crop = Source(Huge(), transform=partial(random_crop, length=64), fingerprint="<v1>")
    order = EpochOrder(length=10**12, seed=1, num_samples=10**12)
    words = words_of(Pipeline(order=order, sources=crop, batch_size=64, seed=42, collate=list))
    for part in ("Huge of 1000000000000", "random_crop(length=64)", "15,625,000,000", "builtins.list", "42", "<v1>"):
        assert part in words


@pytest.mark.parametrize(("drop_last", "steps"), [(False, "3"), (True, "2")])
def test_a_pipeline_shows_the_number_of_steps(drop_last: bool, steps: str) -> None:
    order = EpochOrder(length=5, seed=7, num_samples=5)
    pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, drop_last=drop_last)
    assert f"steps {steps} seed" in words_of(pipeline)


def test_a_planned_pipeline_does_not_count_its_steps() -> None:
    base = EpochOrder(length=20, seed=1, num_samples=40)
    order = PackedOrder(order=base, lengths=LENGTHS, max_tokens=32, bins_per_step=2, window_size=9, seed=1)
    pipeline = Pipeline(order=order, sources=[[1]] * 20, seed=42, collate=collate_packed)
    assert "counted by num_batches(pipeline)" in words_of(pipeline)
    assert order.known_spans == {}


def test_several_sources_have_their_colors() -> None:
    orders = [EpochOrder(length=length, seed=length) for length in (3, 4)]
    html = Pipeline(
        order=MixtureOrder(orders=orders, weights=(1, 1)), sources=("abc", "defg"), batch_size=2, seed=1
    )._repr_html_()
    assert "Source(str of 3)" in html
    assert "Source(str of 4)" in html


def test_a_loader_shows_how_far_it_is() -> None:
    order = EpochOrder(length=8, seed=7, num_samples=8)
    batches = loader(Pipeline(order=order, sources="abcdefgh", batch_size=2, seed=42), 1, 2, batches_per_epoch=3)
    assert "last batch none" in words_of(batches)
    iterator = iter(batches)
    next(iterator), next(iterator)
    words = words_of(batches)
    assert "4 of 8" in words
    assert "positions 2 to 3" in words
    assert "rank 1 of 2" in words
    assert "width:50.00%" in batches._repr_html_()


def test_a_loader_of_an_endless_order_shows_its_epoch() -> None:
    batches = loader(Pipeline(order=EpochOrder(length=4, seed=7), sources="abcd", batch_size=2, seed=42), start=10)
    assert "10, no end, epoch 2" in words_of(batches)
