"""The number of steps before each window of a packed order, kept in files."""

import re
from pathlib import Path

import attrs
import numpy as np
import pytest

from bionemo.data import EpochOrder, PackedOrder, TokenBudgetOrder, count_steps
from bionemo.data.orders.by_length import planned

LENGTHS = np.random.default_rng(0).integers(1, 100, 500)
ORDER = PackedOrder(
    order=EpochOrder(length=500, seed=7, num_samples=1200),
    lengths=LENGTHS,
    max_tokens=256,
    bins_per_step=4,
    window_size=100,
    seed=3,
)


def fresh(**changes) -> PackedOrder:
    return attrs.evolve(ORDER, **changes)


def refuse_to_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(self, start: int) -> int:
        raise AssertionError(start)

    monkeypatch.setattr(planned.BinOrder, "_num_steps", plan)


def test_counts_are_those_of_step_of(tmp_path: Path) -> None:
    for stop in (0, 1, 499, 500, 501, 1000, 1199, 1200, None):
        expected = fresh().step_of(1200 if stop is None else stop)
        assert count_steps(fresh(), tmp_path, stop=stop) == expected
        assert count_steps(fresh(), tmp_path, stop=stop) == expected
    assert len(list(tmp_path.iterdir())) == 3  # one per epoch


def test_a_second_process_plans_only_the_windows_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = [fresh().step_start(step) for step in range(count_steps(fresh(), tmp_path))]
    refuse_to_plan(monkeypatch)
    order = fresh()
    assert count_steps(order, str(tmp_path)) == len(starts)
    assert [order.step_start(step) for step in range(len(starts))] == starts


def test_the_first_epoch_is_counted_without_the_second(tmp_path: Path) -> None:
    endless = fresh(order=EpochOrder(length=500, seed=7))
    assert count_steps(endless, tmp_path, stop=500) == fresh().step_of(500)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="stop must be given for an order without end"):
        count_steps(endless, tmp_path)


def test_other_orders_in_the_folder_are_not_read(tmp_path: Path) -> None:
    count_steps(fresh(), tmp_path)
    others = [
        fresh(seed=4),
        fresh(max_tokens=300),
        fresh(lengths=LENGTHS[::-1]),
        TokenBudgetOrder(**attrs.asdict(ORDER, recurse=False)),
    ]
    for other in others:
        assert count_steps(other, tmp_path) == attrs.evolve(other).step_of(1200)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_file_with_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    count_steps(fresh(), tmp_path)
    path = min(tmp_path.iterdir())
    if content is None:
        np.save(path, np.arange(3))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} must hold the number of steps .* Delete it"):
        count_steps(fresh(), tmp_path)


def test_a_wrong_folder_or_stop_is_refused_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_plan(monkeypatch)
    with pytest.raises(NotADirectoryError, match="folder must be an existing folder, got "):
        count_steps(fresh(), tmp_path / "absent")
    with pytest.raises(ValueError, match=r"stop must be in 0\.\.1200, got "):
        count_steps(fresh(), tmp_path, stop=1201)
