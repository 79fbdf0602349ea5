"""The strategies: what they draw, and what is said where hypothesis is absent."""

import sys

import pytest
import torch
from hypothesis import find, given

from bionemo.data import Pipeline, batch_at, num_batches
from bionemo.data.testing import strategies
from bionemo.data.testing.strategies import Job, Topology


def test_an_absent_hypothesis_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bionemo.data.testing.strategies")
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"hypothesis must be installed: pip install 'bionemo-core\[testing\]'"
    ):
        __import__("bionemo.data.testing.strategies")


def test_what_is_drawn_shrinks_to_the_smallest() -> None:
    assert find(strategies.lengths(), lambda length: True) == 1
    assert find(strategies.lengths(max_length=30), lambda length: length > 20) == 21
    assert find(strategies.topologies(), lambda topology: True) == Topology(0, 1)
    assert find(strategies.histories(), bool) == [Job(1, 1, 0, 0)]
    assert find(strategies.token_rows(min_length=1), len)[0].tolist() == [0]
    assert find(strategies.generators(), lambda generator: True).initial_seed() >= 0


@given(rows=strategies.token_rows(max_rows=3, min_length=2, max_length=5, vocabulary_size=7))
def test_rows_of_tokens_keep_to_their_limits(rows: list[torch.Tensor]) -> None:
    assert len(rows) <= 3
    assert len({row.dtype for row in rows}) <= 1
    for row in rows:
        assert 2 <= len(row) <= 5
        assert 0 <= row.min() <= row.max() < 7


@given(pipeline=strategies.pipelines())
def test_samples_of_pipelines_have_ids_and_seeds_of_their_own(pipeline: Pipeline) -> None:
    for step in range(min(num_batches(pipeline), 3)):
        for sample in batch_at(pipeline, step):
            assert sample.id in pipeline.sources[sample.id // 100].dataset
            assert sample.seed > 0
