"""Tests that no function reads or changes a global random state."""

import random
from functools import partial

import numpy as np
import pytest
import torch

from bionemo.core.random import get_seed_from_rng, make_generator, split
from bionemo.data import EpochOrder, Pipeline, Source, batch_at, mask_tokens, random_crop
from bionemo.data.pipes import loader
from bionemo.examples.protein_mlm.pipelines import collate, hide, make_pipelines
from bionemo.examples.protein_mlm.proteins import Protein, encode


def states() -> tuple:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def everything() -> list:
    """Return the results of the functions that have to do with randomness."""
    first, second = split(make_generator(42))
    proteins = [Protein(str(n), "ACDEFGHIKLMNPQRSTVWY"[: n + 1]) for n in range(20)]
    pipelines = make_pipelines(proteins, batch_size=4, max_length=9, generator=first)
    by_hand = Pipeline(
        order=EpochOrder(length=20, seed=1, num_samples=30),
        sources=Source([encode(protein.sequence) for protein in proteins], transform=partial(random_crop, length=5)),
        batch_size=4,
        seed=2,
        collate=collate,
        batch_transform=hide,
    )
    ids = torch.arange(10, 20).reshape(2, 5)
    masked = mask_tokens(ids, ids > 0, seeds=torch.tensor([1, 2]), mask_id=1, replacement_ids=range(10, 20))
    batches = [*loader(by_hand), batch_at(pipelines.train, 10**9), batch_at(pipelines.held_out, 0)]
    drawn = [torch.rand(2, generator=second).tolist(), get_seed_from_rng(np.random.default_rng(3))]
    return [[batch[name].tolist() for name in sorted(batch)] for batch in batches] + [masked.ids.tolist(), *drawn]


@pytest.mark.usefixtures("no_type_checks")  # beartype draws which element of a list it checks
def test_no_global_random_state_is_changed_or_read() -> None:
    before = states()
    first = everything()
    assert states() == before
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    assert everything() == first


def test_batches_do_not_depend_on_the_batches_read_before() -> None:
    backwards = [batch_at(PIPELINE, step) for step in reversed(range(5))]
    assert backwards[::-1] == [batch_at(PIPELINE, step) for step in range(5)] == list(loader(PIPELINE))


PIPELINE = Pipeline(
    order=EpochOrder(length=9, seed=1, num_samples=9), sources="abcdefghi", batch_size=2, seed=2, collate=list
)
