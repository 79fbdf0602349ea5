"""Valid calls of orders, and of functions that take them."""

from collections.abc import Iterator

import numpy as np
import torch

from bionemo import data
from bionemo.data import permute as permutation
from tests.fuzzing.calls.parts import LENGTHS, SHORT, Call, call, epochs


def order_calls() -> Iterator[Call]:
    order = {"length": 12, "seed": 7, "num_samples": 40}
    yield call(data.EpochOrder, **order, shuffle=True)
    yield call(data.ResampleOrder, **order)
    yield call(data.KenslerOrder, **order)
    yield call(data.BlockShuffleOrder, **order, block_size=3, blocks_per_window=2)
    yield call(data.ClusterOrder, clusters=[1, 0, 1], seed=7, num_samples=40, weights=[1.0, 2.0])
    visits = data.EpochOrder(length=2, seed=1)
    yield call(data.ClusterOrder, clusters=[1, 0, 1], seed=7, num_samples=40, visits=visits)
    yield call(data.ProportionalOrder, weights=[1.0, 2.0, 0.0], seed=7, num_samples=40)
    yield call(data.EpochBatchOrder, order=SHORT, batch_size=5, rest="drop")
    yield call(data.BalancedOrder, groups=[0, 1, 0], weights=[1.0, 2.0], seed=7, num_samples=9)
    yield call(data.WeightedEpochOrder, weights=[1.0, 2.0], seed=7, samples_per_epoch=1, num_samples=9)
    fractions = {"train": 0.5, "test": 0.5}
    yield call(data.split_of, key="a", seed=7, fractions=fractions)
    yield call(data.split_indices, keys=["a", "b"], seed=7, fractions=fractions)
    yield call(data.take, dataset="abc", num_samples=2)
    yield call(data.filter_idx, dataset="abc", keep=[2, 0])
    yield call(data.concat, datasets=("abc", "de"))
    yield call(data.window, dataset="abc", size=2, stride=1)
    yield call(data.SkipOrder, order=SHORT, positions=[1, (3, 5)])
    packed = data.PackedOrder(order=SHORT, lengths=LENGTHS, max_tokens=16, bins_per_step=2, window_size=4, seed=3)
    yield call(data.PlannedSkipOrder, order=packed, positions=[1, (3, 5)])
    yield call(data.ClusterTable, offsets=[0, 1, 3], members=[1, 0, 2])
    yield call(data.cluster_table, labels=["a", "b", "a"])
    yield call(data.WeightedOrder, weights=[1, 2], seed=7, num_samples=40)
    yield call(data.LengthGroupedOrder, order=SHORT, lengths=LENGTHS, window_size=4, batch_size=2, seed=3)
    bins = {"max_tokens": 12, "bins_per_step": 2, "divisible_by": 1, "truncate": True}
    for kind in (data.PackedOrder, data.TokenBudgetOrder):
        yield call(kind, order=SHORT, lengths=LENGTHS, window_size=4, **bins, seed=3)
    yield call(
        data.MixtureOrder,
        orders=(SHORT, epochs()),
        weights=[1, 2],
        num_samples=9,
        changes=[(3, [2, 1])],
        stopping_strategy="first_exhausted",
    )
    yield call(data.index_at, order=SHORT, position=3)
    for index in (np.arange(12), torch.arange(12), [3, 4]):
        yield call(data.index_at, order=SHORT, position=index)
    yield call(permutation.permute, index=torch.arange(6).reshape(2, 3), length=9, seed=4)
    yield call(permutation.unpermute, index=torch.arange(6).reshape(2, 3), length=9, seed=4)
    places = data.index_at(SHORT, np.arange(12))
    yield call(data.position_of, order=SHORT, index=places)
    yield call(data.LengthGroupedOrder, order=SHORT, lengths=np.array(LENGTHS), window_size=4, batch_size=2, seed=3)
    yield call(data.position_of, order=SHORT, index=data.SampleIndex(0, 1, 2))
    yield call(data.integer_weights, weights=[1.5, 2], total=100)
    yield call(data.token_weights, fractions=[0.5, 0.5], mean_lengths=[330, 90], total=100)
    yield call(data.padding_fraction, order=SHORT, lengths=LENGTHS, batch_size=2, num_batches=3)
    yield call(data.first_divergence, order=SHORT, other=epochs(), limit=10)
    yield call(data.IdentityMultiEpochDatasetWrapper, dataset="abc")
    wrapped = data.IdentityMultiEpochDatasetWrapper("abc")
    yield call(data.MultiEpochDatasetResampler, dataset=wrapped, num_epochs=2, shuffle=True, seed=3)
    yield call(data.MultiEpochDatasetResampler, dataset=wrapped, num_samples=2)
    yield call(data.PRNGResampleDataset, dataset="abc", seed=3, num_samples=5)
