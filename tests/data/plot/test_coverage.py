"""Plots of what was read: from logs of runs, with what was read again."""

import json
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.data import EpochOrder, Pipeline, describe_batch
from bionemo.data.plot import plot_coverage
from bionemo.data.plot.axes import MOST_POINTS


class Record(NamedTuple):
    step: int
    rank: int
    ids: object


def drawn(history):
    ax = plot_coverage(history, ax=Figure().subplots())
    marked = [part for part in ax.collections if "again" in part.get_label()]
    ranks = {part.get_label(): part.get_offsets().tolist() for part in ax.collections if part not in marked}
    return ax, ranks, marked[0].get_offsets().tolist() if marked else []


@given(
    history=st.lists(
        st.builds(Record, st.integers(0, 20), st.integers(0, 5), st.lists(st.integers(0, 40), max_size=4)),
        min_size=1,
        max_size=20,
    )
)
def test_each_read_is_drawn_and_each_repeat_is_marked(history: list[Record]) -> None:
    ax, ranks, again = drawn(history)
    reads = [(record.step, record.rank, idx) for record in history for idx in record.ids]
    for rank in {record.rank for record in history if record.ids}:
        assert ranks[f"rank {rank}"] == [[step, idx] for step, reader, idx in reads if reader == rank]
    found = [idx for _, _, idx in reads]
    assert again == [[step, idx] for step, _, idx in reads if found.count(idx) > 1]
    assert ax.get_title() == f"{len(found):,} reads of {len(set(found)):,} samples"


def test_a_run_that_resumes_too_early_reads_samples_again() -> None:
    pipeline = Pipeline(order=EpochOrder(length=100, seed=1), sources=range(100), batch_size=10, seed=2)
    steps = [0, 1, 2, 3, 2, 3, 4]  # resumed two steps too early
    lines = [
        json.dumps(
            {"step": step, "rank": rank, "ids": [found.idx for found in describe_batch(pipeline, step, rank, 2)]}
        )
        for step in steps
        for rank in range(2)
    ]
    ax, _, again = drawn(map(json.loads, lines))
    assert len(again) == 2 * 20
    assert {step for step, _ in again} == {2, 3}
    assert ax.get_title() == "70 reads of 50 samples"
    assert "20 samples read again" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_records_may_be_mappings_tuples_and_objects_with_tensors() -> None:
    history = [
        {"step": 0, "rank": 0, "ids": np.array([1, 2]), "other": 3},
        Record(0, 1, torch.tensor([3])),
        SimpleNamespace(step=np.int64(1), rank=np.int32(0), ids=(4,)),
    ]
    assert drawn(iter(history))[1] == {"rank 0": [[0, 1], [0, 2], [1, 4]], "rank 1": [[0, 3]]}


def test_rows_of_source_epoch_and_idx_are_drawn_in_bands_and_repeat_only_in_their_epoch() -> None:
    rows = [[0, 0, 0], [1, 0, 5], [0, 1, 0], [1, 0, 5]]
    ax, ranks, again = drawn([{"step": step, "rank": 0, "ids": [row]} for step, row in enumerate(rows)])
    assert np.array(ranks["rank 0"]) == pytest.approx(np.array([[0, 0], [1, 1.92], [2, 0], [3, 1.92]]))
    assert [step for step, _ in again] == [1, 3]
    assert ax.get_yticklabels()[1].get_text() == "source 1\n0 to 5"


def test_a_long_log_is_thinned_out_and_its_repeats_are_kept() -> None:
    count = 3 * MOST_POINTS
    history = [{"step": step, "rank": 0, "ids": range(step * 100, step * 100 + 100)} for step in range(count // 100)]
    history.append({"step": 10**4, "rank": 0, "ids": [17]})
    ax, ranks, again = drawn(history)
    assert len(ranks["rank 0"]) <= MOST_POINTS
    assert again == [[0, 17], [10**4, 17]]
    assert ax.get_ylabel() == "idx (one of every 4 reads)"


def test_many_ranks_are_named_by_the_first_and_the_last() -> None:
    ax, _, _ = drawn([{"step": 0, "rank": rank, "ids": [rank]} for rank in range(64)])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["rank 0", "rank 63"]
    assert len(ax.collections) == 64


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ([], ValueError, "history must hold a record, got none"),
        (
            [{"step": 0, "rank": 0}],
            TypeError,
            "history must hold records with step, rank and ids, got no ids in record 0",
        ),
        ([3], TypeError, "got no step in record 0: 3"),
        ([{"step": -1, "rank": 0, "ids": []}], ValueError, r"step of history\[0\] must be in 0"),
        ([{"step": 0, "rank": 0, "ids": [-1]}], ValueError, r"ids of history\[0\] must be in 0"),
        ([{"step": 0, "rank": 0, "ids": ["a"]}], TypeError, r"ids of history\[0\] must be an integer"),
        (
            [{"step": 0, "rank": 0, "ids": [[1, 2]]}],
            ValueError,
            "must be indices or rows of source, epoch and idx, got shape",
        ),
    ],
)
def test_what_is_no_history_is_refused(history, error, message) -> None:
    with pytest.raises(error, match=message):
        drawn(history)
