"""A fuzzer of argument types: calls every public function with one argument of a wrong type.

    python -m tests.fuzzing SEED COUNT

Each call is a valid one of `CALLS` in which one argument is replaced. If the new value violates the parameter's
annotation, the function has to raise a TypeError, ValueError, IndexError or KeyError whose text names the parameter and
shows what it got in at most 300 characters, and to move no state. Whatever the value, no error may be that of a fault
inside the function, such as an AttributeError. Elements of iterators are not looked at: that would consume them.
"""

import ast
import collections
import copy
import inspect
import operator
import random
import re
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import attrs
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from bionemo import data
from bionemo.adapters import distributed, megatron
from bionemo.adapters import lightning as lightning_adapter
from bionemo.core import padding, record, resources
from bionemo.core import random as randomness
from bionemo.core.model import config as model_config
from bionemo.core.model import config_yaml, cross_entropy, functional, loss
from bionemo.core.utils import dtype as dtypes
from bionemo.core.utils import subprocess_utils
from bionemo.data import permute as permutation
from bionemo.data import pipes, plot, sources, testing
from bionemo.data.pipes import nodes

MAX_SHOWN = 300
OUR_ERRORS = (TypeError, ValueError, IndexError, KeyError)
FAULTS = (AttributeError, UnboundLocalError, NameError, RecursionError, AssertionError, OverflowError, SystemError)
"""Errors that no argument may cause: they are raised by code that took the argument for something else."""


# Values ---------------------------------------------------------------------------------------------------------------
class Opaque:
    """An object with a long text."""

    def __repr__(self) -> str:
        return "Opaque(" + "x" * 1000 + ")"


def numbers() -> Iterator[int]:
    yield from (1, 2)


def rng(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def epochs(length: int = 12, **options: Any) -> data.EpochOrder:
    return data.EpochOrder(length=length, seed=7, num_samples=40, **options)


def make_pipeline(**options: Any) -> data.Pipeline:
    return data.Pipeline(order=epochs(), sources="abcdefghijkl", batch_size=4, seed=42, **options)


@attrs.frozen(kw_only=True)
class LinearConfig(model_config.BionemoTrainableModelConfig):
    size: int = 2

    def configure_model(self) -> torch.nn.Module:
        return torch.nn.Linear(self.size, self.size)

    def get_loss_reduction_class(self) -> type[cross_entropy.TokenCrossEntropy]:
        return cross_entropy.TokenCrossEntropy


VALUES: tuple[Callable[[], Any], ...] = (
    *(
        partial(copy.deepcopy, value)
        for value in (None, True, False, 3, -7, 10**30, 2.5, float("nan"), 1j, Fraction(1, 3))
    ),
    *(
        partial(copy.deepcopy, value)
        for value in (Decimal("2.5"), "", "3", "abc", "a" * 1000, b"abc", bytearray(b"ab"))
    ),
    *(partial(kind, 3) for kind in (np.int8, np.uint64, np.float32, np.bool_, np.str_, np.complex64)),
    *(partial(copy.deepcopy, value) for value in ([], [1, 2], ["a"], [None], [2.5], [[1], [2, 3]], [True])),
    *(partial(copy.deepcopy, value) for value in ((), (1,), ("a", 2), {}, {"a": 1}, {1: 2}, {1, 2})),
    *(lambda: frozenset([3]), lambda: range(3), object, Opaque, lambda: [Opaque()] * 100, lambda: slice(None)),
    *(lambda value=value: value for value in (int, dict, data.EpochOrder, Opaque, torch.nn.Linear, LinearConfig)),
    *(lambda value=value: value for value in (len, numbers, ast, Ellipsis, NotImplemented, re.compile("a"))),
    *(lambda: lambda value: value, lambda: iter([1, 2]), numbers, lambda: map(str, [1, 2]), {}.keys),
    *(partial(torch.tensor, value) for value in (2.5, 3, True, [1, 2], [2.5], [True, False], [[1, 2], [3, 4]], [1j])),
    *(partial(torch.tensor, [1, 2], dtype=kind) for kind in (torch.int32, torch.uint8, torch.float16)),
    *(lambda: torch.nn.Parameter(torch.ones(2)), lambda: torch.empty(0), lambda: torch.Size([1])),
    *(lambda: torch.ones(2, 2) > 0, lambda: torch.nn.Linear(1, 1), lambda: torch.device("cpu")),
    *(lambda value=value: value for value in (torch.int64, torch.float32, np.int64, np.float32, np.dtype("int8"))),
    *(partial(np.array, value) for value in (2.5, [1, 2], [2.5], ["a"], [[1, 2]], [None])),
    *(rng, partial(np.random.default_rng, 3), partial(np.random.RandomState, 3), partial(random.Random, 3)),
    *(epochs, make_pipeline, LinearConfig, lambda: data.SampleIndex(0, 1, 2), lambda: data.Source("abc")),
    *(lambda: Path("x"), lambda: pd.Series([1, 2]), lambda: pd.DataFrame({"a": [1]}), lambda: ValueError("x")),
)
"""Functions that make the values, new for each call."""


# Calls ----------------------------------------------------------------------------------------------------------------
class Call(NamedTuple):
    function: Callable[..., Any]
    make: Callable[[], dict[str, Any]]
    """Makes valid arguments, by parameter; those of `*args` as a tuple."""


def call(function: Callable[..., Any], make: Callable[[], dict[str, Any]] | None = None, /, **arguments: Any) -> Call:
    """Return a call whose arguments are made anew each time where they have a state, else the same."""
    return Call(function, lambda: arguments | (make() if make else {}))


IDS = torch.arange(12).reshape(3, 4)
ROWS = [[5, 6], [7]]
PACKED = data.collate_packed([[5, 6], [7, 8]])
FIELDS = {"ids": data.RaggedField(torch.int64), "charge": data.ScalarField(torch.float64)}
SAMPLES = [{"ids": [5, 100], "charge": 127}, {"ids": [7], "charge": 3}]
SHORT = data.EpochOrder(length=12, seed=8, num_samples=40)
LENGTHS = list(range(5, 17))
LOSS = loss.LossSum(torch.tensor(6.0), torch.tensor(2), {"accuracy": torch.tensor(1)})
SIZES = {"num_layers": 1, "hidden_size": 8, "num_attention_heads": 2}
BLOCK = {"ids": IDS, "mask": IDS > 0, "seeds": torch.tensor([7, 8, 9])}
PIPELINE = make_pipeline()


def generator() -> dict[str, Any]:
    return {"generator": rng()}


def indices_node() -> Any:
    return nodes.sample_indices(epochs())


def samples_node() -> Any:
    return nodes.read(indices_node(), "abcdefghijkl")


def loader_call(function: Callable[..., Any], **options: Any) -> Call:
    position = {"rank": 0, "world_size": 1, "batches_per_epoch": 2, "restart": False, "start": 0}
    return call(function, pipeline=PIPELINE, **position, **options)


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


def pipeline_calls() -> Iterator[Call]:
    yield call(data.Source, dataset="abc", transform=None, index="idx", fingerprint="v1")
    options = {"collate": "".join, "batch_transform": None, "drop_last": True}
    yield call(data.Pipeline, order=SHORT, sources="abcdefghijkl", batch_size=4, seed=3, **options)
    yield call(data.batch_at, pipeline=PIPELINE, step=1, rank=0, world_size=1)
    yield call(data.batch_from, pipeline=PIPELINE, start=1, rank=0, world_size=1)
    yield call(data.describe_batch, pipeline=PIPELINE, step=1, rank=0, world_size=1)
    yield call(data.find_sample, pipeline=PIPELINE, index=data.SampleIndex(0, 1, 2), world_size=1)
    yield call(data.num_batches, pipeline=PIPELINE)
    yield call(data.sample_at, pipeline=PIPELINE, position=1)
    yield call(data.pipeline_spec, pipeline=PIPELINE)
    yield call(data.record_differences, saved={"a": 1}, current={"a": 2})
    yield from (call(function, record=SHORT) for function in (data.to_json, data.fingerprint, data.external_arrays))
    yield call(data.from_json, text=data.to_json(SHORT), arrays={}, kinds=[])
    workers = {"num_workers": 0, "multiprocessing_context": None, "prefetch_factor": 2, "pin_memory": False}
    yield loader_call(pipes.loader, **workers, timeout=0)
    yield loader_call(pipes.batch_sampler)
    yield call(nodes.sample_indices, order=SHORT, start=0)
    yield call(nodes.read, lambda: {"node": indices_node()}, datasets=("abcdefghijkl",))
    yield call(nodes.transform, lambda: {"node": samples_node()}, function=max, seed=3)
    yield call(nodes.batch, lambda: {"node": samples_node()}, batch_size=2, drop_last=False)
    collate = {"function": "".join, "batch_transform": None, "seed": None}
    yield call(nodes.collate, lambda: {"node": nodes.batch(samples_node(), 2)}, **collate)
    yield call(nodes.prefetch, lambda: {"node": samples_node()}, num_batches=2)
    yield call(nodes.pin_memory, lambda: {"node": samples_node()})
    yield call(testing.check_pure_reads, read="abc".__getitem__, indices=[0, 1])
    yield call(testing.check_same_on_ranks, value=3, group=None)


def law_calls() -> Iterator[Call]:
    def make_loader(rank: int = 0, world_size: int = 1) -> Any:
        return pipes.loader(make_pipeline(), rank, world_size)

    passes = {"make_loader": make_loader, "ids_of": list}
    whole = {"make_loader": lambda rank, world_size: [[0, 1], [2]], "ids_of": list, "num_samples": 3}
    yield call(testing.adapt, loader=[[1], [2]], iterate=iter, save=len, load=max)
    yield call(testing.replayed, loader=[[1], [2]], set_epoch=str, skip=max)
    yield call(testing.assert_bijection, fn=int, length=5, inverse=int, max_indices=9)
    yield call(testing.assert_exact_coverage, **whole, world_size=1, num_epochs=1, max_dropped=0, max_repeated=0)
    yield call(
        testing.assert_resumes_exactly, **passes, stops=[1], num_epochs=1, max_batches=None, others=[make_loader]
    )
    yield call(testing.assert_resumes_on_other_ranks, **passes, world_sizes=[1, 2], stops=[1])
    yield call(testing.assert_epochs_differ, make_loader=EpochsOf, ids_of=list, num_epochs=2)
    draws = {"draws_of": lambda batch: [*batch], "world_size": 1, "num_epochs": 1, "num_batches": 2}
    yield call(testing.assert_ranks_draw_differently, make_loader=make_loader, **draws)
    yield call(testing.assert_order, order=SHORT, shuffles_epochs=False, num_positions=3)
    yield call(testing.assert_collate_accepts_empty, collate=list, samples=[1])
    yield call(testing.assert_batch_invariant, loss_of=sum, samples=[1, 2], collate=list, rtol=0.1)
    yield call(data.log_line, step=3, rank=0, ids=[1, 2], world_size=2)
    log = [data.LoggedBatch(0, 0, [row.idx for row in data.describe_batch(make_pipeline(), 0)])]
    yield call(data.verify_run, log=log, pipeline=make_pipeline())


class EpochsOf:
    """A loader with another order in each pass."""

    epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        yield [self.epoch, *range(20)]


def batch_calls() -> Iterator[Call]:
    yield call(data.RaggedField, dtype=torch.int64, padding_value=0)
    yield call(data.ScalarField, dtype=torch.int64)
    yield call(data.ObjectField)
    lengths = {"padding_len": 8, "pad_size_divisible_by": 8}
    yield call(data.collate_fields, samples=SAMPLES, fields=FIELDS, padding_side="left", **lengths)
    probabilities = {"mask_prob": 0.2, "mask_replace_prob": 0.5, "random_replace_prob": 0.2}
    tokens = {"mask_id": 1, "replacement_ids": [2, 3], "special_ids": [0]}
    yield call(data.mask_tokens, **BLOCK, **tokens, **probabilities)
    spans = {"sentinel_ids": [90, 91, 92, 93], "padding_value": 0, "noise_density": 0.2, "mean_span_length": 2}
    yield call(data.corrupt_spans, **BLOCK, **spans)
    yield call(data.next_token_labels, ids=IDS, mask=IDS > 0)
    yield call(data.chosen_labels, ids=IDS, chosen=IDS > 0)
    packed = {"fields": None, "divisible_by": 4, "length": 16, "bins": [[2, 1]]}
    yield call(data.collate_packed, samples=ROWS, **packed)
    yield call(megatron.packed_seq_params, batch=PACKED)
    yield call(data.unpack, batch=PACKED, name="ids")
    yield call(data.mask_packed_tokens, batch=PACKED, seeds=torch.arange(2), mask_id=1, replacement_ids=[5, 6])
    yield call(data.next_packed_labels, batch=PACKED)
    yield call(data.flash_attention_inputs, batch=PACKED)
    yield call(data.attention_block_mask, batch=PACKED, causal=True)
    yield call(data.shard_for_context_parallel, batch=PACKED, rank=0, world_size=1, names=["ids"])
    yield call(data.unshard_context_parallel, parts=[PACKED], names=["ids"])
    yield call(data.random_crop, generator, row=[0, 1, 2], length=2)
    by_seed = {"rows": [[0, 1, 2], [3]], "seeds": torch.arange(2)}
    yield call(data.random_crop_rows, **by_seed, length=2)
    yield call(data.random_reverse_complement_rows, **by_seed, complement=[3, 2, 1, 0], prob=0.5)
    yield call(data.random_reverse_complement, generator, row=[0, 1], complement=[1, 0], prob=0.5)
    yield call(data.reverse_complement, row=[0, 1], complement=[1, 0])
    yield call(data.throughput, mask=IDS > 3, seconds=2.5)
    yield call(padding.length_mask, lengths=torch.tensor([1, 2]), length=3)
    yield call(padding.row_mask, lengths=[1, 2], width=3, padding_side="left")
    yield call(padding.padded_length, lengths=[1, 2], **lengths, name="token_ids")
    numbers_of_rows = {"padding_value": 1, "padding_side": "left"}
    yield call(padding.pad_token_ids, token_ids=ROWS, dtype=torch.int64, **lengths, **numbers_of_rows)
    buffers = {"ids_buffer": torch.empty(99, dtype=torch.int64), "mask_buffer": torch.empty(99, dtype=torch.bool)}
    yield call(padding.pad_token_ids_into, **buffers, token_ids=ROWS, padding_value=1, **lengths)
    yield call(padding.truncate_token_ids, token_ids=ROWS, length=1, side="left")
    yield call(padding.unpad_token_ids, ids=IDS, mask=IDS > 0)


def plot_calls() -> Iterator[Call]:
    def axes() -> dict[str, Any]:
        return {"ax": Figure().subplots()}

    mixture = data.MixtureOrder(orders=(SHORT, epochs()), weights=[1, 2])
    packed = data.PackedOrder(order=SHORT, lengths=LENGTHS, max_tokens=16, bins_per_step=2, window_size=4, seed=3)
    yield call(plot.plot_order, axes, order=mixture, num_positions=9)
    yield call(plot.plot_epochs, axes, order=SHORT, epochs=(0, 2))
    yield call(plot.plot_mixture, axes, order=mixture, num_positions=9)
    yield call(plot.plot_padding, axes, order=SHORT, lengths=LENGTHS, batch_size=4, num_steps=2)
    yield call(plot.plot_packing, axes, order=packed, num_steps=2)
    yield call(plot.plot_batch, axes, batch={"ids": IDS, "mask": IDS > 0})
    yield call(plot.plot_coverage, axes, history=[{"step": 0, "rank": 0, "ids": [3, 1]}])
    two = {"maps": {"ours": SHORT, "none": int}, "length": 12}
    yield call(plot.plot_shuffle_quality, lambda: {"ax": Figure().subplots(1, 2)}, **two)
    yield call(data.order_html, order=SHORT)
    yield call(data.batch_html, batch={"ids": IDS, "mask": IDS > 0}, title="batch")


def source_calls() -> Iterator[Call]:
    rows = sources.ragged_rows([[5, 6, 7], [8]], dtype=np.int64)
    yield call(sources.ragged_rows, rows=[[5, 6], [7]], dtype=np.int64)
    yield call(
        data.shuffle_report, order=SHORT, chunks=5, batch_size=4, read_ahead=2, labels=None, start=0, num_batches=3
    )
    yield call(sources.RaggedRows, flat=[5, 6, 7], offsets=[0, 2, 3])
    yield call(sources.letter_table, letters="ACGT", first=4, unknown=3, ignore_case=True)
    yield call(sources.Windows, lengths=[9, 3], size=4, stride=2, rest="short")
    yield call(sources.windows, rows=rows, size=2, stride=1, rest="drop")


def core_calls() -> Iterator[Call]:
    yield call(randomness.fold_in, seed=3, data=("x", 4))
    yield call(randomness.bits_at, seed=3, counter=4)
    yield call(randomness.integers_at, seed=3, counter=4, length=9)
    yield call(randomness.uniforms_at, seed=3, counter=4, dtype=torch.float64)
    yield call(randomness.make_generator, seed=3, data=("x", 4), device="cpu")
    yield call(randomness.seed_from_generator, generator)
    yield call(randomness.seed_from_entropy, entropy=2**70)
    yield call(randomness.split, generator, num=2)
    yield call(randomness.get_seed_from_rng, lambda: {"rng": np.random.default_rng(3)}, dtype=np.int64)
    yield call(randomness.sample_by_weight, generator, weights=[1.5, 2], num_samples=3)
    yield call(randomness.sample_with_replacement, generator, length=9, num_samples=3)
    yield call(randomness.sample_without_replacement, generator, length=9, num_samples=3)
    yield call(randomness.random_torch_context, generator)
    for context in (
        randomness.random_numpy_context,
        randomness.random_python_context,
        randomness.random_global_context,
    ):
        yield call(context, seed=3)
    yield from (call(function, index=3, length=9, seed=4) for function in (permutation.permute, permutation.unpermute))
    yield call(dtypes.get_autocast_dtype, precision="bf16-mixed")
    yield call(subprocess_utils.run_subprocess_safely, command="true", timeout=9)
    yield from (call(function, record=SHORT) for function in (record.to_json, record.to_plain, record.fingerprint))
    yield call(record.external_arrays, record=SHORT)
    yield call(record.given_fields, record=SHORT)
    yield call(record.from_json, text=record.to_json(SHORT), kinds=[data.EpochOrder], arrays={})
    yield call(record.from_plain, plain=record.to_plain(SHORT), kinds=[data.EpochOrder], arrays={})
    yield call(record.parse_json, text="{}")
    yield call(record.plain_to_json, plain={"a": 1})
    yield call(record.type_name, kind=data.EpochOrder)
    fields = {"tag": "a/b", "urls": ["s3://bucket/key"], "sha256": "0" * 64, "size": 3, "processing": "none"}
    yield call(resources.Resource, **fields, owner="me", license="CC0", description="few")
    yield call(resources.UnpackLimits, max_bytes=3, max_ratio=3, max_files=3)
    yield call(config_yaml.config_to_yaml, config=LinearConfig())
    yield call(config_yaml.config_from_yaml, kind=LinearConfig, text="size: 3")


def model_calls() -> Iterator[Call]:
    config = LinearConfig()
    yield call(model_config.build_model, generator, config=config)
    yield call(functional.init_params, generator, config=config)
    params = functional.init_params(config, generator=rng())
    yield call(functional.apply, config=config, params=params, args=(torch.ones(1, 2),), training=False)
    yield call(cross_entropy.TokenCrossEntropy, validation_step=False)
    yield from (
        call(function, losses=[LOSS, LOSS]) for function in (loss.add_losses, loss.mean_loss, loss.mean_metrics)
    )
    yield call(loss.scale_for_ranks, loss=LOSS, num_tokens=torch.tensor(3), world_size=2)
    yield call(loss.sum_over_ranks, loss=LOSS, group=None)
    yield call(
        cross_entropy.token_cross_entropy, logits=torch.ones(3, 4), labels=torch.arange(3), weights=torch.ones(3)
    )
    makers = {"optimizer": torch.optim.SGD, "lr_scheduler": None}
    yield call(lightning_adapter.TrainableModule, generator, config=config, **makers, seed=3)
    pipelines = {"train": PIPELINE, "validation": PIPELINE, "test": None, "predict": None}
    yield call(lightning_adapter.PipelineDataModule, **pipelines, batches_per_epoch=2, num_workers=0)
    yield call(lightning_adapter.find_checkpoint, folder=Path(__file__).parent)
    yield call(lightning_adapter.check_checkpoint, path=Path("does not exist"))
    model = torch.nn.Linear(1, 1)
    parts = {"model": model, "optimizer": torch.optim.SGD(model.parameters()), "batches": pipes.loader(PIPELINE)}
    yield call(distributed.find_checkpoint, folder=Path(__file__).parent)
    yield call(distributed.load_checkpoint, path=Path("does not exist"), **parts, others={})
    yield call(distributed.CheckpointWriter, folder=Path(__file__).parent, keep=2)
    transformer = megatron.TransformerSizes(**SIZES)
    shape = {"ffn_hidden_size": 16, "num_query_groups": 2, "hidden_dropout": 0.1, "attention_dropout": 0.1, "extra": {}}
    yield call(megatron.TransformerSizes, **SIZES, **shape)
    options = {"vocab_size": 8, "max_length": 4, "position_embedding_type": "rope"}
    for kind in (megatron.MegatronGPTConfig, megatron.MegatronBertConfig):
        yield call(kind, transformer=transformer, **options, share_embeddings_and_output_weights=False)
    yield call(megatron.split_into_micro_batches, pipeline=PIPELINE, num_micro_batches=2)
    yield call(megatron.iter_micro_batches, loader=pipes.loader(PIPELINE), device="cpu")
    yield call(megatron.mean_reports, reports=[{"loss": torch.tensor([1.0, 2.0])}], group=None)
    micro_batch = megatron.MicroBatch({"ids": IDS}, 3, 0)
    batches = {"model": len, "loss": cross_entropy.TokenCrossEntropy(), "seed": 3}
    yield call(megatron.forward_step, lambda: {"batches": iter([micro_batch])}, **batches)


CALLS = (*order_calls(), *source_calls(), *pipeline_calls(), *batch_calls(), *core_calls(), *model_calls())
CALLS += (*plot_calls(), *law_calls())
LAWS = {made.function for made in law_calls()}

MODULES = (data, pipes, nodes, plot, sources, testing, randomness, permutation, padding, record, dtypes)
MODULES += (resources, subprocess_utils, model_config, config_yaml, functional, loss)
MODULES += (distributed, lightning_adapter, megatron)
"""Modules whose functions and records users call."""

NOT_CALLED = {
    # Protocols, and classes to inherit from.
    *("BionemoModelConfig", "BionemoTrainableModelConfig", "Model", "MultiEpochDataset", "MultiEpochDatasetWrapper"),
    *("Order", "PlannedOrder", "SizedDataset"),
    # Tuples that functions return: like all tuples, they hold what they are given.
    *("CorruptedSpans", "EpochIndex", "IntegerWeights", "LossSum", "MaskedTokens", "MicroBatch", "PositionedSample"),
    *("LoggedBatch", "RunSummary", "SampleIndex", "ShuffleReport", "Throughput"),
    # Made by `adapt` and `replayed`; laws that pass arguments on, start processes, or take any data set.
    *(
        "AdaptedLoader",
        "ReplayedLoader",
        "Resumable",
        "assert_megatron_compatible",
        "assert_pure",
        "assert_worker_safe",
    ),
    # Kernels, which check nothing.
    *("Geometry", "Plan", "divisor_of", "geometry", "make_keys", "num_rounds", "permute_kernel", "unpermute_kernel"),
    # Without arguments, of megatron-core's classes, or within its process groups.
    *(
        "AtomicCheckpointIO",
        "LogLoaderStats",
        "MegatronWrapper",
        "PortableDotProductAttention",
        "model_parallel",
        "rank_and_world_size",
    ),
    *("count_steps", "transformer_config"),  # the first writes files
    # They read and write files.
    *("Pruned", "cached_path", "get_all_resources", "load", "prune", "verify_cached"),
    *(
        "CellRows",
        "FastaFile",
        "read_run_log",
        "RemoteRows",
        "TableRows",
        "TokenFile",
        "tokenize_fasta",
        "write_manifest",
        "write_tokens",
    ),
}
"""Public names that aren't fuzzed."""


# The oracle -----------------------------------------------------------------------------------------------------------
@cache
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911 - one per kind
    """Return whether a value, with all its elements, is what an annotation allows. When in doubt, it is."""
    origin, parts = get_origin(hint), get_args(hint)
    value = str(value) if isinstance(value, np.str_) else value
    if hint is Any or isinstance(hint, TypeVar) or hint is inspect.Parameter.empty:
        return True
    if origin in {Union, types.UnionType}:
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if hasattr(hint, "array_type"):  # jaxtyping's
        return isinstance(value, hint.array_type) and fits_dtype(str(value.dtype).removeprefix("torch."), hint.dtypes)
    if hint in {int, float}:  # all functions take NumPy's numbers too
        allowed = int | np.integer if hint is int else float | int | np.floating | np.integer
        return isinstance(value, allowed) and not isinstance(value, bool)
    if origin is type:
        bounds = [part for part in parts if inspect.isclass(get_origin(part) or part)]
        return isinstance(value, type) and all(issubclass(value, get_origin(part) or part) for part in bounds)
    kind = hint if origin is None else origin
    if not inspect.isclass(kind):
        return True
    if isinstance(value, bool | np.bool_):  # both are taken where a bool is wanted
        return kind in {bool, object}
    is_class_for_protocol = getattr(kind, "_is_protocol", False) and isinstance(value, type)
    return isinstance(value, kind) and not is_class_for_protocol and have_elements(value, kind, parts)


def fits_dtype(name: str, allowed: Any) -> bool:
    return not isinstance(allowed, list | tuple) or any(re.fullmatch(part, name) for part in allowed)


def have_elements(value: Any, kind: type, parts: tuple[Any, ...]) -> bool:
    if kind.__module__ not in {"collections.abc", "builtins"} or not parts or isinstance(value, Iterator):
        return True
    if isinstance(value, Mapping) and len(parts) == 2:
        return all(fits(key, parts[0]) and fits(element, parts[1]) for key, element in value.items())
    if kind is tuple and parts[1:] != (Ellipsis,):
        return len(value) == len(parts) and all(map(fits, value, parts))
    if getattr(value, "shape", None) == ():
        return False
    if not issubclass(kind, Iterable) or not isinstance(value, Iterable):
        return True
    is_column = isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 1
    return all(fits(element, parts[0]) for element in (value.tolist() if is_column else value))


def state(value: Any) -> Any:  # noqa: PLR0911 - one per kind
    """Return what a call could change of a value, in a form that can be compared."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, torch.Tensor | np.ndarray):
        return repr(value.tolist()), value.dtype
    if isinstance(value, types.GeneratorType):
        return inspect.getgeneratorstate(value)
    if isinstance(value, dict):
        return [(key, state(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [state(part) for part in value]
    return operator.length_hint(value, -1) if isinstance(value, Iterator) else None


def global_states() -> Any:
    numpy_state = np.random.get_state()
    return random.getstate(), numpy_state[1].tobytes(), numpy_state[2:], torch.get_rng_state().numpy().tobytes()


class Failure(NamedTuple):
    function: str
    parameter: str
    kind: str
    value: str
    text: str


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> Exception | None:
    """Return the error that a call raises, also on entry to the context that it returns."""
    bound = inspect.BoundArguments(signature_of(function), arguments)
    try:
        result = function(*bound.args, **bound.kwargs)
        if hasattr(result, "__enter__") and hasattr(result, "gen"):  # made by a contextmanager
            with result:
                pass
    except Exception as error:  # noqa: BLE001 - any error is the outcome
        return error
    return None


def fault_of(error: Exception | None, name: str, *, is_wrong: bool, is_changed: bool) -> str | None:  # noqa: PLR0911 - one per kind
    """Return what is wrong with the outcome of a call, or None."""
    if isinstance(error, FAULTS) and not isinstance(error, OUR_ERRORS):
        return type(error).__name__
    if not is_wrong:
        return None
    if error is None:
        return "accepted"
    if not isinstance(error, OUR_ERRORS):
        return type(error).__name__
    text = str(error)
    _, got, shown = text.partition("got")
    if len(shown) > MAX_SHOWN:
        return "long text"
    if not re.search(rf"\b{name}\b", text) or not got:
        return f"unclear {type(error).__name__}"
    return "moved a state" if is_changed else None


def arguments_of(called: Call) -> dict[str, Any]:
    """Return new valid arguments, in the order of the parameters."""
    made = called.make()
    return {name: made[name] for name in signature_of(called.function).parameters if name in made}


def check(called: Call, parameter: str, value: Any) -> Failure | None:
    """Return the failure of a call with one argument replaced by a value, if it is one."""
    function = called.function
    arguments = arguments_of(called)
    is_rest = signature_of(function).parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
    arguments[parameter] = (value,) if is_rest else value
    is_wrong = not fits(value, hints_of(function).get(parameter, Any))
    if not is_wrong and callable(value):
        return None  # what a user's function raises is not ours
    kept = [part for name, part in arguments.items() if not name.endswith("_buffer")]  # which are made to be written to
    before = global_states(), state(kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = outcome(function, arguments)
    is_changed = is_wrong and before != (global_states(), state(kept))
    if isinstance(error, AssertionError) and function in LAWS and not is_wrong:
        return None  # what the law says of the value
    kind = fault_of(error, parameter, is_wrong=is_wrong, is_changed=is_changed)
    if kind is None:
        return None
    return Failure(
        name_of(called), parameter, kind, one_line(f"{type(value).__name__} {value!r}", 70), one_line(error, 160)
    )


def one_line(value: object, length: int) -> str:
    return " ".join(str(value).split())[:length]


def name_of(called: Call) -> str:
    return f"{called.function.__module__}.{called.function.__qualname__}"


def failures(seed: int, count: int) -> Iterator[Failure]:
    """Yield the failures of random calls."""
    draw = random.Random(seed)
    arguments = [(called, name) for called in CALLS for name in arguments_of(called)]
    for _ in range(count):
        called, name = draw.choice(arguments)
        if failure := check(called, name, draw.choice(VALUES)()):
            yield failure


def table(found: Iterable[Failure]) -> str:
    """Return the failures by function and argument, each with the number of its kinds and an example of each."""
    groups: dict[tuple[str, str], list[Failure]] = collections.defaultdict(list)
    for failure in found:
        groups[failure.function, failure.parameter].append(failure)
    lines = []
    for (function, parameter), group in sorted(groups.items()):
        kinds = collections.Counter(failure.kind for failure in group)
        lines.append(f"{function}({parameter}): " + ", ".join(f"{kind} {num}" for kind, num in kinds.most_common()))
        examples = {failure.kind: failure for failure in group}.values()
        lines += [f"    {failure.kind}: {failure.value} -> {failure.text}" for failure in examples]
    return "\n".join(lines)


def main(seed: int, count: int) -> str:
    found = list(failures(seed, count))
    return f"{table(found)}\n{count} calls with seed {seed}, {len(found)} failures" if found else ""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) or 0)  # prints the table of failures, if there are any
