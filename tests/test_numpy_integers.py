"""Tests that every public function and record accepts NumPy's integers and floats like Python's.

The table holds calls with Python's numbers. Each call is repeated with its numbers converted to every NumPy type that
can represent them, one at a time and all together. The results must be the same: equal values of equal types, or the
same error.
"""

import importlib
import inspect
import itertools
import pkgutil
import random
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import bionemo.core
import bionemo.data
from bionemo.core import arrays, checks, fields, padding, record_writing
from bionemo.core.html import pieces
from bionemo.core.model.loss import LossSum, scale_for_ranks
from bionemo.core.padding import rows
from bionemo.core.random import (
    alias,
    contexts,
    draws,
    generators,
    hashing,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
)
from bionemo.core.resources import Resource, UnpackLimits, prune
from bionemo.core.utils.dtype import get_autocast_dtype
from bionemo.core.utils.subprocess_utils import run_subprocess_safely
from bionemo.data import (
    BalancedOrder,
    BlockShuffleOrder,
    ClusterOrder,
    EpochBatchOrder,
    EpochOrder,
    IdentityMultiEpochDatasetWrapper,
    KenslerOrder,
    LengthGroupedOrder,
    MixtureOrder,
    MultiEpochDatasetResampler,
    PackedOrder,
    Pipeline,
    PlannedSkipOrder,
    PRNGResampleDataset,
    ProportionalOrder,
    RaggedField,
    ResampleOrder,
    SampleIndex,
    ScalarField,
    SkipOrder,
    Source,
    TokenBudgetOrder,
    WeightedEpochOrder,
    WeightedOrder,
    collate_fields,
    collate_packed,
    corrupt_spans,
    count_steps,
    fingerprint,
    first_divergence,
    index_at,
    integer_weights,
    log_line,
    lookup,
    mask_packed_tokens,
    mask_tokens,
    padding_fraction,
    plot,
    position_of,
    random_crop,
    random_crop_rows,
    random_reverse_complement,
    random_reverse_complement_rows,
    reverse_complement,
    shard_for_context_parallel,
    shuffle_report,
    split_indices,
    split_of,
    testing,
    throughput,
    token_weights,
    window,
)
from bionemo.data import permute as permutation
from bionemo.data.batches import tokens
from bionemo.data.orders import base
from bionemo.data.orders.by_length import bins, lengths
from bionemo.data.orders.by_weight import interleave
from bionemo.data.orders.by_weight.endings import leave_out_exhausted
from bionemo.data.orders.by_weight.weighted import to_weights
from bionemo.data.orders.by_weight.weights import check_integer_weights
from bionemo.data.orders.shuffles import shuffle_in_groups
from bionemo.data.orders.skip import count_up_to, to_ranges
from bionemo.data.permute import permute, permute_kernel, unpermute
from bionemo.data.pipeline import batch, state, steps, transform
from bionemo.data.pipeline.fixed_steps import num_fixed_steps
from bionemo.data.pipes import batch_sampler, loader, nodes, options
from bionemo.data.plot import axes, quality
from bionemo.data.reading import read
from bionemo.data.reading.dataset import to_seed
from bionemo.data.reading.functions import function_name
from bionemo.data.sources import Windows, letter_table, ragged_rows, windows
from bionemo.data.testing import strategies
from bionemo.data.testing.content import content_digests
from bionemo.data.testing.loaders.read import counted

ENDS = [np.int8, np.uint64]
OTHERS = [
    pytest.param(kind, marks=pytest.mark.slow)
    for kind in (np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32)
]
"""What goes wrong with these goes wrong with the narrowest or the widest one, too."""
SIZES = [100, 127, 255, 20_000, 32_767, 65_535, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1]
"""Numbers near the limits of NumPy's types, in which a sum or a product would overflow."""


class Call(NamedTuple):
    args: tuple
    fields: dict
    use: Callable[[Any], Any]
    """Turns the result into data that can be compared."""


def call(*args, use: Callable[[Any], Any] = lambda result: result, **fields) -> Call:
    """Return a call. A list of numbers may also be replaced by an array or a Series, a tuple may not."""
    return Call(args, fields, use)


def over(make: Callable[[int], Call], high: int = 2**62) -> list[Call]:
    return [make(size) for size in SIZES if size <= high]


def count_in_a_folder(stop) -> int:
    lengths = [3, 4] * 100
    base = EpochOrder(length=200, seed=7)
    order = PackedOrder(order=base, lengths=lengths, max_tokens=8, bins_per_step=1, window_size=50, seed=3)
    with tempfile.TemporaryDirectory() as folder:
        return count_steps(order, folder, stop=stop)


def first(order, *, count: int = 6) -> Any:
    """Return an order, its fingerprint and its first samples."""
    positions = range(min(count, count if order.num_samples is None else order.num_samples))
    return order, fingerprint(order), [index_at(order, position) for position in positions]


def drawn(context, *, draw: Callable[[], float]) -> Any:
    with context:
        return draw()


def some(loaded) -> Any:
    return list(itertools.islice(loaded, 3)), loaded.state_dict()


def samples(dataset) -> Any:
    return [dataset[index] for index in range(min(len(dataset), 20))], len(dataset)


def jitter(sample, *, generator):
    return sample, int(torch.randint(10**6, (), generator=generator))


def keep_seeds(batch, *, seeds):
    return batch, seeds


def position_after(order, position: int) -> Any:
    return order.position_of(order.index_at(position))


def cut(lengths, size, stride) -> Any:
    found = Windows(lengths=lengths, size=size, stride=stride)
    return found, list(map(found.window_at, range(len(found)))), found.windows_at(0, 2)


def run_in_blocks(*words) -> Any:
    return arrays.in_blocks(lambda one, other: one * other + 300, *words)


def run_by_run(*words) -> Any:
    return arrays.by_run(lambda one, other: (one * other + 300,), *words)


LETTERS = "abcdefghijklmnopqrstuvwxyz" * 12
EPOCHS = EpochOrder(length=312, seed=7, num_samples=40_000)
PACKED = PackedOrder(order=EPOCHS, lengths=[5] * 312, max_tokens=12, bins_per_step=2, window_size=9, seed=1)
PIPELINE = Pipeline(order=EPOCHS, sources=LETTERS, batch_size=100, seed=42)
TABLES, DEPTH = interleave.make_interleaving([(0, [2, 1, 4]), (100, [5, 1, 1])])
PLAN = permutation.Plan(permutation.geometry(2**40), permutation.make_keys(8, 42))
TOKENS = torch.arange(3, 123, dtype=torch.int64).reshape(4, 30)
SEEDS = torch.tensor([7, 8, 9, 10])
STATE = state.loader_state(PIPELINE, 200)
LENGTHS = [(37 * idx) % 101 + 5 for idx in range(312)]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def group_by_group(*words) -> Any:
    return arrays.by_group(lambda group, word: [group + word], *words, num_results=1)


def with_new_generator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that passes a new generator to each call: the calls must not share its state."""
    return lambda *args, **fields: function(*args, **fields, generator=rng())


def drawn_by(function: Callable[..., Any], num_axes: int = 1) -> Callable[..., Any]:
    """Return a function that plots on new axes, and returns the data of what was drawn."""

    def draw(*args, **fields) -> list:
        figure = Figure()
        function(*args, **fields, ax=figure.subplots(1, num_axes))
        parts = [part for ax in figure.axes for part in (*ax.collections, *ax.lines)]
        return [
            [part.get_offsets().tolist() for part in parts if hasattr(part, "get_offsets")],
            [path.vertices.tolist() for part in parts if hasattr(part, "get_paths") for path in part.get_paths()],
            [part.get_xydata().tolist() for part in parts if hasattr(part, "get_xydata")],
            [stairs.get_data()[0].tolist() for ax in figure.axes for stairs in ax.patches],
            [(ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) for ax in figure.axes],
        ]

    return draw


pytestmark = pytest.mark.filterwarnings("ignore:a step of .* samples leaves ranks")

TABLE: dict[str, tuple[Callable[..., Any], list[Call]]] = {
    # bionemo.core
    "check_int": (
        checks.check_int,
        [call(100, name="n", low=127, high=200), *over(lambda n: call(n, name="n"), 2**63)],
    ),
    "check_seed": (checks.check_seed, [call(-1), *over(call)]),
    "check_word": (checks.check_word, [call(-1, name="seed"), *over(lambda n: call(n, name="seed"))]),
    "check_token": (tokens.check_token, over(lambda n: call(n, torch.int16, name="token"))),
    "as_tokens": (tokens.as_tokens, [call([100, 127, 3], TOKENS, name="ids")]),
    "as_token_table": (tokens.as_token_table, [call([100, 127, 3], TOKENS, name="ids")]),
    "check_index": (
        checks.check_index,
        [call(0, stop=0, name="i"), call(-1, stop=5, name="i"), *over(lambda n: call(n, stop=n, name="i"))],
    ),
    "in_graph": (checks.in_graph, over(lambda n: call(n, torch.arange(3)))),
    "as_int": (checks.as_int, over(call)),
    "to_int": (fields.to_int, over(call)),
    "to_float": (fields.to_float, over(call)),
    "mix": (hashing.mix, over(call, 2**63)),
    "fold_in": (hashing.fold_in, over(lambda n: call(n, "x", n, torch.arange(3)), 2**63)),
    "fold_word": (hashing.fold_word, over(lambda n: call(n, n), 2**63)),
    "bits_at": (draws.bits_at, over(lambda n: call(n, n), 2**63)),
    "integers_at": (draws.integers_at, over(lambda n: call(n, n, n))),
    "uniforms_at": (draws.uniforms_at, over(lambda n: call(n, n), 2**63)),
    "scale_to": (draws.scale_to, over(lambda n: call(n, n))),
    "check_weights": (alias.check_weights, [call([100, 127, 3]), call([1, 2**62])]),
    "draw_by_alias": (alias.draw_by_alias, over(lambda n: call(alias.make_alias_table(np.arange(9.0)), n, n))),
    "check_entropy": (generators.check_entropy, over(lambda n: call(n, name="seed"))),
    "seed_from_entropy": (generators.seed_from_entropy, over(call)),
    "to_seed": (to_seed, over(call)),
    "make_generator": (generators.make_generator, over(lambda n: call(n, "x", n), 2**63)),
    "split": (lambda num: generators.split(rng(), num), [call(1), call(100), call(0)]),
    "sample_by_weight": (
        with_new_generator(sample_by_weight),
        [call([100, 127, 3], 120), call([0.5, 1.5], 9), call([200, 1], 200)],
    ),
    "sample_with_replacement": (with_new_generator(sample_with_replacement), over(lambda n: call(n, 100))),
    "sample_without_replacement": (with_new_generator(sample_without_replacement), over(lambda n: call(n, 100))),
    "random_numpy_context": (
        contexts.random_numpy_context,
        over(lambda n: call(n, use=partial(drawn, draw=np.random.random))),
    ),
    "random_global_context": (
        contexts.random_global_context,
        over(lambda n: call(n, use=partial(drawn, draw=np.random.random))),
    ),
    "random_python_context": (
        contexts.random_python_context,
        over(lambda n: call(n, use=partial(drawn, draw=random.random))),
    ),
    "get_autocast_dtype": (get_autocast_dtype, [call(16), call(32), call(64)]),
    "scale_for_ranks": (
        scale_for_ranks,
        over(lambda n: call(LossSum(torch.tensor(6.0), torch.tensor(2)), torch.tensor(12), n)),
    ),
    "length_mask": (padding.length_mask, [call(torch.tensor([3, 120]), 127), call(torch.tensor([3]), 255)]),
    "row_mask": (padding.row_mask, [call([100, 120], 127), call([100, 3], 255, padding_side="left")]),
    "padded_length": (
        padding.padded_length,
        [call([127, 3], None, 8), call([3], 127, 100), call([3, 200], 127), call([200], None, 100), call([3], 0, 0)],
    ),
    "pad_token_ids": (
        padding.pad_token_ids,
        [
            call(((5, 127), (100,)), 100, 127, 100),
            call(((5,) * 127,), 1, None, 8),
            call(((5,),), 200, dtype=torch.int8),
        ],
    ),
    "pad_token_ids_into": (
        padding.pad_token_ids_into,
        [
            call(
                torch.empty(900, dtype=torch.int64),
                torch.empty(900, dtype=torch.bool),
                ((5, 6), (7,)),
                100,
                padding_len=127,
                pad_size_divisible_by=100,
            )
        ],
    ),
    "truncate_token_ids": (padding.truncate_token_ids, over(lambda n: call([LETTERS], n))),
    "check_fits": (rows.check_fits, over(lambda n: call(n, np.dtype(np.int16), name="value"))),
    "in_blocks": (run_in_blocks, over(lambda n: call(n, n))),
    "by_run": (run_by_run, over(lambda n: call(n, n))),
    "by_group": (group_by_group, over(lambda n: call(n, n))),
    "take": (arrays.take, [call(np.arange(300), 100), call(np.arange(300), 255)]),
    # bionemo.data
    "permute": (permute, over(lambda n: call(n - 1, n, n))),
    "unpermute": (unpermute, over(lambda n: call(n - 1, n, n))),
    "geometry": (permutation.geometry, over(call)),
    "num_rounds": (permutation.num_rounds, over(call)),
    "make_keys": (permutation.make_keys, over(lambda n: call(18, n))),
    "permute_kernel": (permutation.permute_kernel, over(lambda n: call(n, PLAN), 2**33)),
    "unpermute_kernel": (permutation.unpermute_kernel, over(lambda n: call(n, PLAN), 2**33)),
    "error_bounds": (interleave.error_bounds, [call([100, 127, 90]), call([200, 255])]),
    "counts_among": (interleave.counts_among, over(lambda n: call(n, [100, 127, 90]))),
    "make_interleaving": (
        interleave.make_interleaving,
        [call(((0, [100, 120, 3]), (127, [5, 1, 1]), (20_000, [1, 2, 3])))],
    ),
    "item_at": (interleave.item_at, over(lambda n: call(n, TABLES, DEPTH))),
    "position_of_item": (interleave.position_of_item, over(lambda n: call(2, n, TABLES, DEPTH))),
    "integer_weights": (
        integer_weights,
        [
            call([547_194, 624_353, 83_105]),
            call([100, 127, 3]),
            call([200, 255, 3], 1000),
            call([60_000, 1], 2),
            call([2**31 - 1, 1, 2**31 - 1], 2**31 - 1),
            call([2**63 - 1, 2**62]),
            call([1, 0]),
            call([1, 2, 3], 2),
        ],
    ),
    "check_integer_weights": (check_integer_weights, [call([100, 127, 0]), call([0, 0]), call([2**31 - 1, 1])]),
    "leave_out_exhausted": (
        leave_out_exhausted,
        [call([(0, (100, 27)), (50, (1, 0))], (90, 127)), call([(0, (1, 1))], (None, 0))],
    ),
    "token_weights": (
        token_weights,
        [
            call([547_194, 624_353, 83_105], [330, 1000, 90]),
            call([100, 127, 3], [1, 2, 3], 1000),
            call([1, 1], [0, 2]),
            call([1], [1, 2]),
        ],
    ),
    "EpochOrder": (EpochOrder, over(lambda n: call(length=n, seed=n, num_samples=n, use=first))),
    "BlockShuffleOrder": (
        BlockShuffleOrder,
        over(lambda n: call(length=n, block_size=100, blocks_per_window=100, seed=n, num_samples=n, use=first)),
    ),
    "KenslerOrder": (KenslerOrder, over(lambda n: call(length=n, seed=n, num_samples=n, use=first))),
    "ResampleOrder": (ResampleOrder, over(lambda n: call(length=n, seed=n, num_samples=n, use=first))),
    "ClusterOrder": (
        ClusterOrder,
        [call(clusters=[0, 1, 0], seed=100, num_samples=100, use=first), call(clusters=[5, 127, 5], seed=3, use=first)],
    ),
    "ProportionalOrder": (
        ProportionalOrder,
        [call(weights=[100, 127, 3, 0], seed=100, num_samples=100, use=first), call(weights=[0], seed=1)],
    ),
    "to_ranges": (to_ranges, [call([100, 127, 3, (50, 101)]), call([-1]), call([(5, 3)])]),
    "count_up_to": (count_up_to, over(lambda n: call(np.array([3, 50, 200]), n))),
    "SkipOrder": (
        SkipOrder,
        [call(order=EPOCHS, positions=[100, 127, (3, 90)], use=first), call(order=EPOCHS, positions=[-3])],
    ),
    "PlannedSkipOrder": (
        PlannedSkipOrder,
        [
            call(
                order=PackedOrder(
                    order=EPOCHS, lengths=[5] * 312, max_tokens=12, bins_per_step=2, window_size=9, seed=1
                ),
                positions=[1, (3, 5)],
                use=first,
            )
        ],
    ),
    "EpochBatchOrder": (EpochBatchOrder, over(lambda n: call(order=EPOCHS, batch_size=n, use=first))),
    "BalancedOrder": (
        BalancedOrder,
        [call(groups=[0, 1, 0], weights=[100, 127], seed=100, num_samples=100, use=first)],
    ),
    "WeightedEpochOrder": (
        WeightedEpochOrder,
        [call(weights=[100, 127, 3], seed=100, samples_per_epoch=2, num_samples=100, use=first)],
    ),
    "split_of": (split_of, over(lambda n: call(n, seed=n, fractions={"train": 0.5, "test": 0.5}))),
    "split_indices": (
        split_indices,
        [call([100, 127, 3], seed=100, fractions={"train": 0.5, "test": 0.5})],
    ),
    "window": (
        lambda *arguments, stride: list(window(*arguments, stride=stride)),
        over(lambda n: call("x" * 200, n, stride=n)),
    ),
    "to_weights": (to_weights, [call([100, 127, 0]), call([0])]),
    "shuffle_in_groups": (
        shuffle_in_groups,
        over(lambda n: call(permute_kernel, n, 1, size=n + 2, group=n, again=n)),
    ),
    "WeightedOrder": (
        WeightedOrder,
        [call(weights=[100, 127, 3, 0], seed=100, num_samples=100, use=first), call(weights=[0], seed=1)],
    ),
    **{
        kind.__name__: (
            kind,
            [
                call(
                    order=EPOCHS,
                    lengths=LENGTHS,
                    max_tokens=200,
                    bins_per_step=2,
                    seed=100,
                    window_size=100,
                    divisible_by=100,
                    truncate=True,
                    use=first,
                ),
                call(order=EPOCHS, lengths=LENGTHS, max_tokens=1, bins_per_step=2, window_size=100, seed=100),
            ],
        )
        for kind in (PackedOrder, TokenBudgetOrder)
    },
    "pack_into_bins": (bins.pack_into_bins, [call(np.array([100, 3, 2]), max_tokens=127, multiple=100)]),
    "cut_into_bins": (bins.cut_into_bins, [call(np.array([100, 3, 2]), max_tokens=127, multiple=100)]),
    "LengthGroupedOrder": (
        LengthGroupedOrder,
        [
            call(order=EPOCHS, lengths=LENGTHS, window_size=100, batch_size=7, seed=100, use=first),
            call(order=EPOCHS, lengths=[-1] * 312, window_size=100, batch_size=7, seed=100),
        ],
    ),
    "MixtureOrder": (
        MixtureOrder,
        [
            call(
                orders=(EpochOrder(length=100, seed=1), EpochOrder(length=127, seed=2)),
                weights=[100, 120],
                num_samples=20_000,
                changes=((100, [1, 100]), (127, [127, 3])),
                use=first,
            )
        ],
    ),
    "MultiEpochDatasetResampler": (
        MultiEpochDatasetResampler,
        [
            call(IdentityMultiEpochDatasetWrapper(LETTERS), num_epochs=100, seed=100, use=samples),
            call(IdentityMultiEpochDatasetWrapper(LETTERS), num_samples=127, use=samples),
        ],
    ),
    "PRNGResampleDataset": (PRNGResampleDataset, over(lambda n: call(LETTERS, n, n, use=samples))),
    "Pipeline": (
        partial(Pipeline, order=EPOCHS, sources=LETTERS),
        [call(batch_size=100, seed=127, use=lambda made: [batch.batch_at(made, step) for step in range(3)])],
    ),
    "index_at": (index_at, over(lambda n: call(EPOCHS, n))),
    "index_at of records": (
        lambda order, position: (order.index_at(position), position_after(order, position)),
        [
            call(order, position)
            for position in (100, 255, 20_000)
            for order in (
                EPOCHS,
                BlockShuffleOrder(length=312, block_size=10, blocks_per_window=3, seed=7),
                LengthGroupedOrder(order=EPOCHS, lengths=LENGTHS, window_size=100, batch_size=7, seed=3),
                MixtureOrder(orders=(EPOCHS, EpochOrder(length=9, seed=1)), weights=(3, 1)),
            )
        ],
    ),
    "index_at of many": (
        index_at,
        [call(EPOCHS, [100, 127, 5]), call(EPOCHS, [100, 127, 5] * 9), call(EPOCHS, [5, 200])],
    ),
    "check_integer": (checks.check_integer, over(lambda n: call(n, name="n"), 2**63)),
    "frozen_lengths": (lengths.frozen_lengths, [call(LENGTHS)]),
    "check_threads": (options.check_threads, over(lambda n: call(n, num_workers=0, pin_memory=False))),
    "check_batches_per_epoch": (options.check_batches_per_epoch, over(call)),
    "check_timeout": (options.check_timeout, [call(2.5, 1), call(100, 100), call(1.5, 0)]),
    "position_of": (position_of, [call(EPOCHS, SampleIndex(0, 100, 127)), call(EPOCHS, SampleIndex(0, 127, 255))]),
    "check_length": (base.check_length, [call(0), *over(call, 2**63)]),
    "check_num_samples": (base.check_num_samples, [call(-1), *over(call, 2**63)]),
    "check_some_samples": (base.check_some_samples, [call(0), *over(call, 2**63)]),
    "check_memory": (arrays.check_memory, over(lambda n: call(n, name="n", value=n), 2**63)),
    "check_in_epochs": (base.check_in_epochs, over(lambda n: call(SampleIndex(0, 100, 127), n))),
    "bar": (pieces.bar, [call([(1, "red", "a"), (0.25, "blue", "b")])]),
    "color_of": (pieces.color_of, [call(100, opacity=0.5), *over(call)]),
    "shade_of": (pieces.shade_of, [call(1), call(0.25)]),
    "num_fixed_steps": (num_fixed_steps, over(lambda n: call(n, batch_size=n, drop_last=False))),
    "plot_order": (drawn_by(plot.plot_order), [call(EPOCHS, num_positions=100), call(EPOCHS, num_positions=127)]),
    "plot_epochs": (drawn_by(plot.plot_epochs), [call(EPOCHS, epochs=(0, 100))]),
    "plot_mixture": (drawn_by(plot.plot_mixture), [call(EPOCHS, num_positions=100)]),
    "plot_padding": (drawn_by(plot.plot_padding), [call(EPOCHS, LENGTHS, batch_size=9, num_steps=11)]),
    "plot_packing": (drawn_by(plot.plot_packing), [call(PACKED, num_steps=11)]),
    "plot_shuffle_quality": (drawn_by(plot.plot_shuffle_quality, 2), [call({"ours": EPOCHS}, length=312)]),
    "spread_positions": (axes.spread_positions, [call(EPOCHS, 100, default=127), call(EPOCHS, 30_000, default=1)]),
    "different_steps": (quality.different_steps, [call(np.arange(100), length=100), call(np.arange(9), length=2**40)]),
    "padding_fraction": (padding_fraction, [call(EPOCHS, LENGTHS, batch_size=100, num_batches=100)]),
    "first_divergence": (
        first_divergence,
        [call(EPOCHS, EpochOrder(length=312, seed=7, num_samples=200), limit=255)],
    ),
    "count_steps": (count_in_a_folder, over(call, high=255)),
    "describe_batch": (lookup.describe_batch, [call(PIPELINE, 100, 100, 127), call(PIPELINE, 255)]),
    "find_sample": (lookup.find_sample, [call(PIPELINE, SampleIndex(0, 100, 127), world_size=100)]),
    "num_batches": (steps.num_batches, [call(PIPELINE)]),
    "batch_at": (batch.batch_at, [call(PIPELINE, 100, 100, 127), call(PIPELINE, 255), call(PIPELINE, 1000)]),
    "batch_from": (batch.batch_from, [call(PIPELINE, 100, 100, 127), call(PIPELINE, 20_000), call(PIPELINE, -1)]),
    "batch_stop": (steps.batch_stop, [call(PIPELINE, 100), call(PIPELINE, 127), *over(lambda n: call(PIPELINE, n))]),
    "check_step": (steps.check_step, over(lambda n: call(PIPELINE, n))),
    "rank_positions": (steps.rank_positions, over(lambda n: call(range(200), rank=n, world_size=128))),
    "slot_of": (steps.slot_of, over(lambda n: call(range(200), n, world_size=100))),
    "step_bounds": (steps.step_bounds, over(lambda n: call(PIPELINE, n))),
    "step_of": (steps.step_of, over(lambda n: call(PIPELINE, n))),
    "step_start": (steps.step_start, over(lambda n: call(PIPELINE, n))),
    "next_pause": (steps.next_pause, over(lambda n: call(PIPELINE, n, 100))),
    "sample_at": (batch.sample_at, over(lambda n: call(PIPELINE, n))),
    "read_sample": (
        read.read_sample,
        [
            call(Source(LETTERS), SampleIndex(0, 0, 100)),
            call(Source(IdentityMultiEpochDatasetWrapper(LETTERS), index="epoch"), SampleIndex(0, 9, 100)),
        ],
    ),
    "transform_sample": (transform.transform_sample, over(lambda n: call(jitter, "x", seed=n, position=n))),
    "position_seeds": (transform.position_seeds, over(lambda n: call(n, "row", [n, 3]))),
    "fetch": (read.fetch, [call(LETTERS, [100, 127, 3]), call(np.arange(300), [5, 255]), call(TOKENS, [3, 1])]),
    "loader": (loader, [call(PIPELINE, 100, 127, batches_per_epoch=100, start=127, prefetch_factor=100, use=some)]),
    "batch_sampler": (batch_sampler, [call(PIPELINE, 100, 127, batches_per_epoch=100, start=20_000, use=some)]),
    "PipelineLoader": (loader, [call(PIPELINE, 3, 5, start=127, prefetch_factor=100, use=some)]),
    "BatchSampler": (
        lambda num_batches: (
            made := batch_sampler(PIPELINE),
            list(itertools.islice(made, 200)),
            made.state_after(num_batches),
        )[2],
        [call(100), call(127), call(255)],
    ),
    "loader_state": (state.loader_state, over(lambda n: call(PIPELINE, n))),
    "check_state": (
        lambda consumed: state.check_state(PIPELINE, STATE | {"consumed_samples": consumed}),
        [call(127), call(20_000), call(65_535)],
    ),
    "sample_indices": (
        lambda start: [
            *itertools.islice(
                nodes.sample_indices(EpochOrder(length=30_000, seed=1, num_samples=30_000), start=start), 3
            )
        ],
        [call(100), call(20_000), call(29_999), call(-1)],
    ),
    "transform": (
        lambda seed: next(nodes.transform(nodes.read(nodes.sample_indices(EPOCHS), LETTERS), jitter, seed=seed)),
        over(call),
    ),
    "batch": (
        lambda size: next(nodes.batch(nodes.read(nodes.sample_indices(EPOCHS), LETTERS), size)),
        [call(100), call(127), call(0)],
    ),
    "collate": (
        lambda seed: next(
            nodes.collate(
                nodes.batch(nodes.read(nodes.sample_indices(EPOCHS), LETTERS), 3),
                "".join,
                batch_transform=keep_seeds,
                seed=seed,
            )
        ),
        over(call),
    ),
    "prefetch": (
        lambda num: [
            *nodes.prefetch(nodes.batch(nodes.read(nodes.sample_indices(EPOCHS, start=39_000), LETTERS), 100), num)
        ][-1],
        [call(2), call(0)],
    ),
    "RaggedField": (RaggedField, over(lambda n: call(torch.int16, padding_value=n))),
    "collate_fields": (
        partial(collate_fields, fields={"ids": RaggedField(torch.int64), "charge": ScalarField(torch.float64)}),
        [
            call(
                [{"ids": [5, 100], "charge": 127}, {"ids": [7], "charge": 3}],
                padding_len=127,
                pad_size_divisible_by=100,
            )
        ],
    ),
    "collate_packed": (
        collate_packed,
        [call([[5, 100], [127]], divisible_by=100, length=255), call([[5, 100]], bins=[[2]]), call([[5]], length=0)],
    ),
    "shard_for_context_parallel": (
        shard_for_context_parallel,
        over(lambda n: call(collate_packed([[5, 100], [127]], divisible_by=200), n, 100)),
    ),
    "mask_packed_tokens": (
        partial(mask_packed_tokens, collate_packed([[5, 100], [127]]), seeds=SEEDS[:2]),
        [call(mask_id=1, replacement_ids=[100, 101, 102], special_ids=[3, 4], mask_prob=1, mask_replace_prob=0)],
    ),
    "mask_tokens": (
        partial(mask_tokens, TOKENS, TOKENS < 110, seeds=SEEDS),
        [
            call(
                mask_id=1,
                replacement_ids=[100, 101, 102],
                special_ids=[3, 4],
                mask_prob=1,
                mask_replace_prob=0,
                random_replace_prob=1,
            ),
            call(mask_id=1, replacement_ids=[100], mask_prob=0.3, mask_replace_prob=0.7, random_replace_prob=0.2),
            call(mask_id=1, replacement_ids=[], random_replace_prob=1),
        ],
    ),
    "corrupt_spans": (
        partial(corrupt_spans, TOKENS, TOKENS < 110, seeds=SEEDS),
        [
            call(sentinel_ids=[200, 201, 202, 203, 204, 205, 206, 207], padding_value=100, mean_span_length=2),
            call(sentinel_ids=[200, 201, 202, 203, 204, 205, 206, 207], noise_density=0.3, mean_span_length=2.5),
        ],
    ),
    "random_crop": (with_new_generator(random_crop), over(lambda n: call(LETTERS, length=n))),
    "reverse_complement": (
        reverse_complement,
        [call((0, 0, 1, 3), complement=[3, 2, 1, 0]), call((0, 5), complement=[1, 0])],
    ),
    "random_crop_rows": (
        random_crop_rows,
        over(lambda n: call([LETTERS, "ab"], length=n, seeds=torch.arange(2))),
    ),
    "random_reverse_complement_rows": (
        random_reverse_complement_rows,
        [call([np.array([0, 1])], complement=[1, 0], prob=1, seeds=torch.arange(1))],
    ),
    "random_reverse_complement": (
        with_new_generator(random_reverse_complement),
        [
            call(np.array([0, 1]), complement=[1, 0], prob=1),
            call(np.array([0, 1]), complement=[1, 0], prob=0.8051101888168268),
        ],
    ),
    "shuffle_report": (
        shuffle_report,
        [
            call(EPOCHS, 10, batch_size=100, read_ahead=2, labels=[1, 2] * 156, start=100, num_batches=100),
            *over(lambda n: call(EPOCHS, n, batch_size=n, num_batches=3)),
            call(EPOCHS, 0, batch_size=3),
        ],
    ),
    "run_subprocess_safely": (run_subprocess_safely, [call("echo 3", timeout=100), call("echo 3", timeout=9.5)]),
    "log_line": (log_line, over(lambda n: call(step=n, rank=n, ids=[n], world_size=n or 1))),
    "assert_bijection": (testing.assert_bijection, [call(int, 100, max_indices=n) for n in (1, 127)]),
    "assert_exact_coverage": (
        testing.assert_exact_coverage,
        [call(lambda rank, size: [range(9)], list, 10, 1, num_epochs=2, max_dropped=100, max_repeated=3)],
    ),
    "assert_epochs_differ": (
        testing.assert_epochs_differ,
        [call(partial(loader, PIPELINE, batches_per_epoch=9), list, num_epochs=3)],
    ),
    "assert_resumes_exactly": (
        testing.assert_resumes_exactly,
        [call(partial(loader, PIPELINE, batches_per_epoch=9), list, stops=(3, 5), num_epochs=2)],
    ),
    "assert_resumes_on_other_ranks": (
        testing.assert_resumes_on_other_ranks,
        [call(partial(loader, PIPELINE), list, world_sizes=(1, 2), stops=(0, 1))],
    ),
    "assert_ranks_draw_differently": (
        testing.assert_ranks_draw_differently,
        [call(partial(loader, PIPELINE), list, 1, num_epochs=1, num_batches=9)],
    ),
    "assert_megatron_compatible": (testing.assert_megatron_compatible, [call([{"a": 1.5}] * 100, (3, 99))]),
    "assert_batch_invariant": (testing.assert_batch_invariant, [call(sum, (1, 2), list, rtol=1)]),
    "counted": (counted, over(lambda n: call(n, "batch"))),
    "lengths": (strategies.lengths, over(lambda n: call(max_length=n or 1, use=repr))),
    "epoch_indices": (strategies.epoch_indices, over(lambda n: call(n or 1, use=repr))),
    "topologies": (strategies.topologies, [call(max_ranks=100, use=lambda found: found.validate())]),
    "histories": (strategies.histories, [call(max_ranks=100, max_workers=3, max_jobs=5, use=repr)]),
    "letter_table": (letter_table, [call("ACGT", first=100, unknown=127), *over(lambda n: call("AC", first=n))]),
    "Windows": (cut, [call([100, 127, 3], 20, 7), call([100, 0], 127, 100), call([9], 0, 1), call([9], 1, 0)]),
    "windows": (
        lambda size, *, stride: samples(windows(ragged_rows([[5] * 300], dtype=np.int64), size, stride=stride)),
        [call(100, stride=50), call(127, stride=127), call(0, stride=1)],
    ),
    "throughput": (throughput, [call(TOKENS < 110, 2), call(TOKENS < 110, 0.3), call(TOKENS < 110, 0)]),
    "function_name": (function_name, [call(partial(jitter, 100)), call(partial(jitter, width=127))]),
    "Resource": (partial(Resource, tag="a/b", urls=["s3://a/b"], sha256="0" * 64), over(lambda n: call(size=n))),
    "UnpackLimits": (UnpackLimits, [call(max_bytes=100, max_ratio=127, max_files=1)]),
    "prune": (prune, [call(older_than=100, cache_dir="/nowhere"), call(older_than=0.5, cache_dir="/nowhere")]),
    "write": (record_writing.write, [call((100, 127, 0.5, {"a": 3}))]),
}
"""By name: the function and calls of it."""

WITHOUT_NUMBERS = {
    "Runs",
    *("copy_spans", "fasta_blocks", "read_ranges", "tokenize_fasta"),
    *("MappedArray", "Shard", "ShardCache", "ShardFile"),
    "Endings",
    "FolderLock",  # made by folder_lock
    # Results of functions.
    *(
        "AliasTable",
        "read_batches",
        "Interleaving",
        "CorruptedSpans",
        "Corruption",
        "IntegerWeights",
        "LossSum",
        "MaskedTokens",
        "Message",
        "SampleLocation",
        "PositionedIndex",
    ),
    *("PositionedSample", "Rows", "ShuffleReport", "Throughput"),
    *("DrawnSample", "Job", "LoggedBatch", "ReplayedLoader", "RunSummary", "Topology"),
    # Records that store their arguments, and functions without arithmetic.
    *("Budget", "Partial", "Pruned", "locked"),
    *("axes_or_new", "draw_bands"),
    *("EpochIndex", "check_size", "as_array", "numbers_for", "check_every_rank_reads"),
    *("mask_kernel", "width_kernel", "over", "shuffled_groups", "planned_bins"),
    *(
        "assert_order",
        "assert_worker_safe",
        "bin_orders",
        "datasets",
        "read_passes",
        "replayed",
        "resample_orders",
        "token_rows",
    ),
    *("as_corruption", "corrupt_tokens", "lay_out_flat", "shared_lengths"),
    *("Arrangement", "Window", "WindowOrder", "BinOrder"),
    *("Delivery", "LoaderStats", "check_number"),
    # Functions of tensors, arrays and generators, or of what other functions in the table return.
    *("assemble_timed", "deliver", "describe_members", "on_device", "plan_batches", "transform_samples"),
    *("StretchReader", "chunks_of", "deliver_stretch", "stretch_stop", "plan_stretches", "read_ahead"),
    *(
        "assemble",
        "assemble_sample",
        "groups",
        "chosen_labels",
        "next_token_labels",
        "note",
        "get_seed_from_rng",
        "make_alias_table",
    ),
    "token_cross_entropy",
}
"""Public names with numbers in their annotations that don't take numbers from users."""


def rebuild(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return a value with each number and each list of numbers in it replaced by `leaf` of it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) or (type(value) is list and value and all(type(part) is int for part in value)):
        return leaf(value)
    if type(value) is dict:
        return {key: rebuild(part, leaf) for key, part in value.items()}
    if isinstance(value, SampleIndex):
        return SampleIndex(*(rebuild(part, leaf) for part in value))
    if isinstance(value, partial):
        return partial(value.func, *rebuild(value.args, leaf), **rebuild(value.keywords, leaf))
    return type(value)(rebuild(part, leaf) for part in value) if type(value) in {tuple, list} else value


def outcome(function: Callable[..., Any], made: Call) -> Any:
    """Return a digest of each part of the result, which depends on the types of numbers too; or the error."""
    try:
        return content_digests(made.use(function(*made.args, **made.fields)))
    except (TypeError, ValueError, IndexError) as error:
        return type(error), str(error)


def variants(made: Call, convert: Callable[[Any], Any]) -> list[Call]:
    """Return the call with all numbers converted, and with each one alone; without those that stay the same."""
    found: list[Call] = []
    changed: list[int] = []

    def with_leaf(chosen: int | None) -> Call:
        leaf_numbers = itertools.count()

        def leaf(value: Any) -> Any:
            number = next(leaf_numbers)
            new = convert(value) if chosen in {None, number} else value
            if new is not value:
                changed.append(number)
            return new

        return Call(*rebuild((made.args, made.fields), leaf), made.use)

    found.append(with_leaf(None))
    leaves = sorted(set(changed))
    return found[: bool(leaves)] + [with_leaf(number) for number in leaves if len(leaves) > 1]


def to_integer(value: Any, *, kind: type, holder: Callable[[list], Any] | None) -> Any:
    """Return an int, or with a holder a list of ints, in a NumPy type; unchanged if the type can't represent it."""
    numbers = value if isinstance(value, list) else [value]
    limits = np.iinfo(kind)
    if isinstance(value, list) != (holder is not None) or not all(
        type(number) is int and limits.min <= number <= limits.max for number in numbers
    ):
        return value
    return holder([kind(number) for number in numbers]) if holder else kind(value)


def to_series(numbers: list) -> pd.Series:
    """Return a Series whose labels are not its positions."""
    return pd.Series(np.array(numbers), index=np.arange(len(numbers))[::-1])


def holds(name: str, kind: type) -> bool:
    """Return whether a call in the table has a value of a type."""
    found: list[type] = []
    for made in TABLE[name][1]:
        rebuild((made.args, made.fields), lambda value: found.append(type(value)))
    return kind in found


def check(name: str, convert: Callable[[Any], Any], reference: Callable[[Any], Any] = lambda value: value) -> None:
    function, calls = TABLE[name]
    for made in calls:
        for number, variant in enumerate(variants(made, convert)):
            if number == 0:
                expected = outcome(function, Call(*rebuild((made.args, made.fields), reference), made.use))
            assert outcome(function, variant) == expected, (name, variant[:2])


@pytest.mark.parametrize("kind", [*ENDS, *OTHERS])
@pytest.mark.parametrize("name", TABLE)
def test_integers_of_every_numpy_type_give_the_result_of_ints(name: str, kind: type) -> None:
    check(name, partial(to_integer, kind=kind, holder=None))


@pytest.mark.parametrize("holder", [list, np.array, to_series])
@pytest.mark.parametrize("kind", [*ENDS, *OTHERS])
@pytest.mark.parametrize("name", [name for name in TABLE if holds(name, list)])
def test_lists_arrays_and_series_of_integers_give_the_result_of_lists_of_ints(name: str, kind: type, holder) -> None:
    check(name, partial(to_integer, kind=kind, holder=holder))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in TABLE if holds(name, float)])
def test_floats_of_every_numpy_type_give_the_result_of_floats(name: str, kind: type) -> None:
    check(
        name,
        lambda value: kind(value) if type(value) is float else value,
        lambda value: float(kind(value)) if type(value) is float else value,
    )


def public_names() -> dict[str, Any]:
    """Return the public functions and classes of `bionemo.core` and `bionemo.data`, by name."""
    found = {}
    for package in (bionemo.core, bionemo.data):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                loaded = importlib.import_module(module.name)
                found |= {name: getattr(loaded, name) for name in getattr(loaded, "__all__", ())}
    return {name: value for name, value in found.items() if inspect.isroutine(value) or inspect.isclass(value)}


def takes_numbers(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return False
    return any(word in str(parameter.annotation) for parameter in parameters for word in ("int", "Int", "float"))


def test_every_public_function_that_takes_numbers_is_in_the_table() -> None:
    assert {name for name, value in public_names().items() if takes_numbers(value)} - {*TABLE} == WITHOUT_NUMBERS


@attrs.frozen
class Counted:
    """A user-defined order whose `num_samples` is a NumPy integer."""

    base: EpochOrder
    num_samples: np.int16
    num_sources: int = 1

    def index_at(self, position: Any, /) -> SampleIndex:
        return self.base.index_at(position)


def test_num_samples_of_a_user_defined_order_may_be_a_numpy_integer() -> None:
    order = Counted(EpochOrder(length=30_000, seed=7), np.int16(30_000))
    pipeline = Pipeline(order=order, sources=range(30_000), batch_size=1_000, seed=3)
    loaded = loader(pipeline)
    assert sorted(itertools.chain(*loaded)) == list(range(30_000))
    assert len(loaded) == 30
    assert content_digests(loaded.state_dict()["consumed_samples"]) == content_digests(30_000)
    assert len([*nodes.sample_indices(order, start=np.int16(20_000))]) == 10_000
