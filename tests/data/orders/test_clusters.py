"""Tests of `ClusterOrder` and its table."""

import pickle
import re
from collections import Counter
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bionemo.data import (
    ClusterOrder,
    ClusterTable,
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    batch_at,
    cluster_table,
    external_arrays,
    fingerprint,
    from_json,
    index_at,
    position_of,
    to_json,
)
from bionemo.data.pipes import loader

SIZES = [1, 1, 2, 3, 15, 16, 17, 100, 1023, 1024, 1025]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))


def naive(table: ClusterTable, visits: list[int]) -> list[list[int]]:
    """Return the members that may be read at each visit: those that were read less often than another."""
    read = Counter()
    allowed = []
    for idx in visits:
        cluster = table.cluster_of(idx)
        members = table.members.array[table.offsets.array[cluster] : table.offsets.array[cluster + 1]].tolist()
        least = min(read[member] for member in members)
        allowed.append([member for member in members if read[member] == least])
        read[idx] += 1
    return allowed


def test_each_epoch_visits_each_cluster_once_and_no_member_returns_before_all_were_read() -> None:
    order = ClusterOrder(clusters=LABELS, seed=7)
    index = index_at(order, range(40 * len(SIZES)))
    for epoch in range(40):
        visited = index.idx[epoch * len(SIZES) : (epoch + 1) * len(SIZES)]
        assert sorted(LABELS[visited]) == list(range(len(SIZES)))
    read = index.idx.tolist()
    assert all(idx in allowed for idx, allowed in zip(read, naive(order.clusters, read), strict=True))


def test_the_epoch_of_a_sample_is_how_often_it_was_read_before() -> None:
    index = index_at(ClusterOrder(clusters=LABELS, seed=7), range(3000))
    read: Counter = Counter()
    for epoch, idx in zip(index.epoch.tolist(), index.idx.tolist(), strict=True):
        assert epoch == read[idx]
        read[idx] += 1


def test_ints_give_what_arrays_give_and_position_of_inverts_both() -> None:
    order = ClusterOrder(clusters=LABELS, seed=7)
    positions = np.random.default_rng(1).integers(0, 10**15, 300)
    index = index_at(order, positions)
    assert [tuple(index_at(order, position)) for position in positions.tolist()] == list(
        zip(*(part.tolist() for part in index), strict=True)
    )
    assert (position_of(order, index) == positions).all()
    assert [position_of(order, SampleIndex(*row)) for row in zip(*index, strict=True)] == positions.tolist()


@pytest.mark.parametrize("size", [2, 3, 16])
def test_every_member_is_equally_probable_at_every_turn(size: int) -> None:
    order = ClusterOrder(clusters=[0] * size, seed=3)
    rounds = index_at(order, range(20_000 * size)).idx.reshape(-1, size)
    assert (np.sort(rounds, axis=1) == np.arange(size)).all()
    for turn in range(size):
        assert chisquare(np.bincount(rounds[:, turn], minlength=size)).pvalue > 1e-4
    pairs = np.bincount(size * rounds[:, 0] + rounds[:, 1], minlength=size**2).reshape(size, size)
    assert chisquare(pairs[~np.eye(size, dtype=bool)]).pvalue > 1e-4


def test_clusters_of_one_size_are_permuted_independently() -> None:
    order = ClusterOrder(clusters=np.repeat(np.arange(20_000), 2), seed=3)
    index = index_at(order, range(order.epoch_length))
    assert chisquare(np.bincount(index.idx % 2)).pvalue > 1e-4
    in_order = index.idx[np.argsort(index.idx // 2)] % 2  # of neighbouring clusters
    assert chisquare(np.bincount(2 * in_order[:-1] + in_order[1:])).pvalue > 1e-4


def test_pinned_values() -> None:
    order = ClusterOrder(clusters=LABELS, seed=42)
    assert index_at(order, [0, 1, 2, 10**6, 10**12, 2**62]).idx.tolist() == [2777, 2119, 2885, 1209, 2593, 2927]
    assert fingerprint(order)[:12] == "bfa05d82a40c"


def test_labels_are_integers_strings_or_tensors() -> None:
    expected = cluster_table([0, 1, 0, 2])
    for labels in (["b", "c", "b", "d"], ("b", "c", "b", "d"), np.array(["b", "c", "b", "d"], dtype=object)):
        assert cluster_table(labels) == expected
    assert cluster_table(torch.tensor([5, 7, 5, 9])) == cluster_table(np.array([5, 7, 5, 9], np.uint8)) == expected
    assert cluster_table([-5, 2**62, -5, 2**63 - 1]) == expected
    assert cluster_table(range(4)).members is None


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("labels", [[0.5], [True], [None], ["a", b"a"], [b"a", 3], 3, {}, "", [], [[1, 2]], ["a", 1]])
def test_other_labels_are_refused(labels: object) -> None:
    with pytest.raises((TypeError, ValueError), match="clusters must"):
        ClusterOrder(clusters=labels, seed=7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"offsets": [1, 2]}, "offsets must begin with 0 and end with the number of samples"),
        ({"offsets": [0]}, "offsets must begin with 0"),
        ({"offsets": [0, 2, 2, 3]}, "each cluster must have a sample, got none in cluster 1"),
        ({"offsets": [0, 3, 2]}, "each cluster must have a sample, got none in cluster 1"),
        ({"offsets": [0, 2], "members": [0]}, "members must hold each index of 0..1 once"),
        ({"offsets": [0, 2], "members": [0, 0]}, "members must hold each index of 0..1 once"),
        ({"offsets": [0, 2], "members": [0, 2]}, "members must hold each index of 0..1 once"),
        ({"offsets": [0, 2], "members": [0, -1]}, "members must hold each index of 0..1 once"),
        ({"offsets": [0, 4], "members": [0, 3, 3, 0]}, "members must hold each index of 0..3 once"),
    ],
)
def test_what_is_no_table_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ClusterTable(**fields)


@pytest.mark.parametrize("dtype", ["u4", "i8"])
def test_a_table_in_memory_maps_is_not_copied(tmp_path: Path, dtype: str) -> None:
    table = cluster_table(LABELS)
    for name in ("offsets", "members"):
        np.save(tmp_path / f"{name}.npy", getattr(table, name).array.astype(dtype))
    mapped = ClusterTable(**{name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("offsets", "members")})
    assert isinstance(mapped.members.array, np.memmap)
    assert (mapped == table) == (dtype == "u4")
    order, in_memory = ClusterOrder(clusters=mapped, seed=7), ClusterOrder(clusters=LABELS, seed=7)
    assert (index_at(order, range(3000)).idx == index_at(in_memory, range(3000)).idx).all()
    assert pickle.loads(pickle.dumps(order)) == order
    assert len(pickle.dumps(order)) < 2000


def test_an_order_comes_back_from_json_and_nests() -> None:
    order = ClusterOrder(clusters=[0, 1, 0], seed=7, num_samples=10)
    assert from_json(to_json(order)) == order
    mixture = MixtureOrder(orders=(order, EpochOrder(length=5, seed=1, num_samples=10)), weights=(1, 1))
    lengths = ([5, 3, 2], [1, 2, 3, 4, 5])
    packed = PackedOrder(order=mixture, lengths=lengths, max_tokens=8, bins_per_step=1, window_size=6, seed=3)
    assert from_json(to_json(packed)) == packed
    index = index_at(packed, range(20))
    assert (position_of(packed, index) == np.arange(20)).all()
    assert sorted(zip(*(part.tolist() for part in index), strict=True)) == sorted(
        zip(*(part.tolist() for part in index_at(mixture, range(20))), strict=True)
    )


def test_a_loader_resumes_on_another_number_of_ranks_and_a_run_may_be_extended() -> None:
    order = ClusterOrder(clusters=LABELS, seed=7, num_samples=100)
    pipeline = Pipeline(order=order, sources=range(len(LABELS)), batch_size=8, seed=1, collate=list)
    whole = [sample for step in range(13) for sample in batch_at(pipeline, step)]
    first = loader(pipeline)
    batches = iter(first)
    delivered = next(batches) + next(batches)
    longer = attrs.evolve(pipeline, order=attrs.evolve(order, num_samples=200))
    ranks = [loader(longer, rank, 2) for rank in range(2)]
    for rank in ranks:
        rank.load_state_dict(first.state_dict())
    for parts in zip(*ranks, strict=True):
        delivered += parts[0] + parts[1]
    assert delivered[:100] == whole
    assert len(delivered) == 200


def test_a_sample_that_is_never_read_has_no_position() -> None:
    order = ClusterOrder(clusters=[0, 1, 0], seed=7)
    with pytest.raises(IndexError, match="idx must be in"):
        position_of(order, SampleIndex(source=0, epoch=0, idx=3))
    with pytest.raises(IndexError, match="epoch must be one whose positions fit int64"):
        position_of(order, SampleIndex(source=0, epoch=2**62, idx=2))


def test_weights_say_how_often_clusters_are_visited_and_members_still_take_turns() -> None:
    table = cluster_table(LABELS)
    order = ClusterOrder(clusters=table, seed=7, weights=table.sizes**0.5)
    index = index_at(order, range(5000))
    visits = np.bincount(LABELS[index.idx])
    assert np.abs(visits - 5000 * np.sqrt(SIZES) / np.sqrt(SIZES).sum()).max() < 2.68
    read = index.idx.tolist()
    assert all(idx in allowed for idx, allowed in zip(read, naive(order.clusters, read), strict=True))
    assert (position_of(order, index) == np.arange(5000)).all()
    assert from_json(to_json(order), arrays=external_arrays(order)) == pickle.loads(pickle.dumps(order)) == order
    assert order != attrs.evolve(order, weights=None)
    assert (order.epoch_length, attrs.evolve(order, weights=None).epoch_length) == (None, len(SIZES))


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="weights must be one per cluster, got 3 for 2 clusters"):
        ClusterOrder(clusters=[0, 1, 0], seed=7, weights=[1, 2, 3])
    with pytest.raises(ValueError, match="weights must be finite and not negative"):
        ClusterOrder(clusters=[0, 1, 0], seed=7, weights=[1, -2])
    order = ClusterOrder(clusters=[0, 1, 0], seed=7, weights=[1, 0])
    with pytest.raises(IndexError, match="idx must be a sample of weight above 0, got idx=1"):
        position_of(order, SampleIndex(source=0, epoch=0, idx=1))


def test_esm2_draws_a_cluster_then_a_member_of_it() -> None:
    """ESM-2 (Lin et al., 2023): a UniRef50 cluster uniformly, then one of its UniRef90 members uniformly."""
    order = ClusterOrder(clusters=LABELS, seed=7)
    ours = np.bincount(index_at(order, range(200_000)).idx, minlength=len(LABELS))

    rng = np.random.default_rng(3)
    members = [np.flatnonzero(cluster == LABELS) for cluster in range(len(SIZES))]
    theirs = np.bincount([rng.choice(members[rng.integers(len(SIZES))]) for _ in range(200_000)])

    expected = 200_000 / len(SIZES) / np.array(SIZES)[LABELS]
    assert (np.abs(ours - expected) <= 2).all()  # exact up to the last round of a cluster
    assert chisquare(theirs, expected).pvalue > 1e-4


def test_alphafold3_weights_clusters_by_what_they_hold() -> None:
    """AlphaFold 3 (Abramson et al., 2024, supplement 2.5.1): a chain or interface has the weight
    beta / cluster size * (3 * proteins + 3 * nucleic acids + ligands), with beta 0.5 for chains, 1 for interfaces.
    """
    rng = np.random.default_rng(5)
    beta, proteins, nucleic, ligands = np.array([(0.5, 1, 0, 0), (0.5, 0, 1, 0), (0.5, 0, 0, 1), (1, 1, 0, 1)]).T
    kinds = rng.integers(4, size=len(SIZES))  # all chains or interfaces of a cluster are of one kind
    by_cluster = (beta * (3 * proteins + 3 * nucleic + ligands))[kinds]
    order = ClusterOrder(clusters=LABELS, seed=7, weights=by_cluster)
    ours = np.bincount(index_at(order, range(200_000)).idx, minlength=len(LABELS))

    per_sample = by_cluster[LABELS] / np.array(SIZES)[LABELS]
    theirs = np.bincount(rng.choice(len(LABELS), 200_000, p=per_sample / per_sample.sum()), minlength=len(LABELS))

    expected = 200_000 * per_sample / per_sample.sum()
    assert (np.abs(ours - expected) <= 4).all()
    assert chisquare(theirs, expected).pvalue > 1e-4


def test_clusters_of_clusters_are_nested_orders() -> None:
    """A UniRef50 cluster, then a UniRef90 cluster of it, then a member of that: all take turns."""
    of_cluster = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # the UniRef50 cluster of each UniRef90 cluster
    of_sample = np.random.default_rng(0).permutation(np.repeat(np.arange(10), [1, 2, 3, 1, 5, 2, 2, 1, 1, 4]))
    outer = ClusterOrder(clusters=of_cluster, seed=1)
    order = ClusterOrder(clusters=of_sample, seed=2, visits=outer)
    index = index_at(order, range(2000))
    read = of_sample[index.idx]
    assert (read == index_at(outer, range(2000)).idx).all()
    assert (np.sort(of_cluster[read].reshape(-1, 4), axis=1) == np.arange(4)).all()
    assert order.epoch_length == outer.epoch_length == 4
    found = index.idx.tolist()
    assert all(idx in allowed for idx, allowed in zip(found, naive(order.clusters, found), strict=True))
    assert (position_of(order, index) == np.arange(2000)).all()
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
    assert order.num_levels == 1


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"visits": EpochOrder(length=3, seed=1)},
            ValueError,
            "must be without end, of length=2.* got length=3",
        ),
        ({"visits": EpochOrder(length=2, seed=1, num_samples=9)}, ValueError, "without end.* num_samples=9"),
        ({"visits": EpochOrder(length=2, seed=1), "weights": [1, 2]}, ValueError, "without other weights"),
        ({"visits": ResampleOrder(length=2, seed=1)}, TypeError, "whose epochs count their visits, got ResampleOrder"),
        ({"visits": 3}, TypeError, "visits must be an order of clusters"),
    ],
)
def test_visits_that_do_not_fit_are_refused(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ClusterOrder(**{"clusters": [0, 1, 0], "seed": 7} | fields)
