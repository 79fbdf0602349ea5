"""What an order costs and gives, against counting what a loader reads."""

import numpy as np
import pytest

from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    ResampleOrder,
    shuffle_report,
)
from bionemo.data.pipes import loader
from bionemo.data.shuffle_report import _expected_entropy


class Recorded:
    """A data set in chunks of 10 samples that notes which it was asked for at once."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.calls: list[list[int]] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, idx: int) -> int:
        return idx

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.calls.append(indices)
        return indices

    def chunk_of(self, idx: np.ndarray) -> np.ndarray:
        return idx // 10


@pytest.mark.parametrize("read_ahead", [1, 4, 30])
@pytest.mark.parametrize(
    "order",
    [
        EpochOrder(length=503, seed=1, num_samples=1000),
        BlockShuffleOrder(length=503, block_size=10, blocks_per_window=8, seed=1, num_samples=1000),
        ResampleOrder(length=503, seed=1, num_samples=1000),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_it_counts_what_a_loader_reads(order, read_ahead: int) -> None:
    dataset = Recorded(503)
    list(loader(Pipeline(order=order, sources=dataset, batch_size=16, seed=2), read_ahead=read_ahead))
    num_batches = 63
    chunks = sum(len({idx // 10 for idx in call}) for call in dataset.calls)
    sizes = sum(min(10, 503 - 10 * chunk) for call in dataset.calls for chunk in {idx // 10 for idx in call})
    used = sum(len(set(call)) for call in dataset.calls)
    for given in (10, dataset):
        report = shuffle_report(order, given, batch_size=16, read_ahead=read_ahead)
        assert report.num_batches == num_batches
        assert report.chunks_per_batch == pytest.approx(chunks / num_batches)
        assert report.read_per_used == pytest.approx(sizes / used)
        assert report.entropy is report.full_entropy is None


@pytest.mark.parametrize(("counts", "size"), [([50, 50], 8), ([1, 9, 90], 20), ([3, 0, 2], 5), ([10], 4), ([2, 3], 9)])
def test_the_expected_entropy_is_the_mean_of_many_draws(counts: list[int], size: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(3000):
        drawn = np.bincount(rng.permutation(labels)[:size])
        parts = drawn[drawn > 0] / drawn.sum()
        found.append(-(parts * np.log2(parts)).sum())
    error = np.std(found) / len(found) ** 0.5
    assert abs(_expected_entropy(np.array(counts), size) - np.mean(found)) < 5 * error + 1e-9


@pytest.mark.usefixtures("no_type_checks")
def test_a_full_shuffle_has_the_entropy_of_one_and_blocks_have_less() -> None:
    labels = np.repeat(list("abcdefgh"), 1000)
    full = shuffle_report(EpochOrder(length=8000, seed=1), 50, batch_size=64, labels=labels)
    assert abs(full.entropy - full.full_entropy) < 0.02
    narrow, wide = (
        shuffle_report(
            BlockShuffleOrder(length=8000, block_size=50, blocks_per_window=blocks, seed=1),
            50,
            batch_size=64,
            labels=labels,
        )
        for blocks in (2, 64)
    )
    assert narrow.entropy < wide.entropy - 0.5
    assert wide.entropy < full.full_entropy + 0.02
    assert narrow.full_entropy == wide.full_entropy == full.full_entropy


@pytest.mark.usefixtures("no_type_checks")
def test_sources_have_chunks_and_labels_of_their_own() -> None:
    order = MixtureOrder(orders=[EpochOrder(length=100, seed=1), EpochOrder(length=40, seed=2)], weights=[1, 1])
    report = shuffle_report(order, (10, 40), batch_size=20, labels=([0] * 100, [1] * 40), num_batches=50)
    assert report.entropy == pytest.approx(1, abs=0.05)
    assert 1 < report.chunks_per_batch < 8
    with pytest.raises(ValueError, match="chunks must be one per source, in a tuple, got 1 for 2 sources"):
        shuffle_report(order, 10, batch_size=20)
    with pytest.raises(ValueError, match="labels must be one per sample, got shape"):
        shuffle_report(order, (10, 10), batch_size=20, labels=([0] * 100, [1] * 39))


def test_planned_orders_make_their_own_steps() -> None:
    base = EpochOrder(length=50, seed=1, num_samples=50)
    order = PackedOrder(order=base, lengths=[3] * 50, max_tokens=9, bins_per_step=2, window_size=50, seed=1)
    assert shuffle_report(order, 5).num_batches == 9
    with pytest.raises(TypeError, match="batch_size must be given, unless the order makes the steps itself"):
        shuffle_report(order, 5, batch_size=4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"read_ahead": 0}, ValueError, "read_ahead"),
        ({"num_batches": 0}, ValueError, "num_batches"),
        ({"start": 10}, ValueError, "start must be the position of a batch, got start=10 with num_samples=10"),
        ({"batch_size": None}, TypeError, "batch_size must be given"),
    ],
)
def test_wrong_arguments(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        shuffle_report(EpochOrder(length=10, seed=1, num_samples=10), 2, **{"batch_size": 4, **options})


@pytest.mark.parametrize("chunks", [0, -3, 2.5, "ten", [10]])
def test_wrong_chunks(chunks) -> None:
    with pytest.raises((TypeError, ValueError), match="chunks must be"):
        shuffle_report(EpochOrder(length=10, seed=1), chunks, batch_size=4)
