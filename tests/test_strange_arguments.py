"""Faults that the fuzzer has found, each with what is raised now, or with the answer that is right."""

import collections
import enum
from collections.abc import Callable
from functools import partial

import attrs
import numpy as np
import pytest
import torch

from bionemo import data
from bionemo.adapters.huggingface import gather_parts
from bionemo.adapters.megatron import MegatronGPTConfig, TransformerSizes, mean_reports, transformer_config
from bionemo.core import padding, record, resources
from bionemo.core import random as randomness
from bionemo.core.html.batch import batch_html
from bionemo.core.model import cross_entropy
from bionemo.core.model.config_yaml import config_to_yaml
from bionemo.core.utils.subprocess_utils import run_subprocess_safely
from bionemo.data import plot, sources, testing

pytestmark = pytest.mark.usefixtures("no_type_checks")

HUGE = 10**5000
"""Python refuses to write it in decimal."""
IDS = torch.arange(6).reshape(2, 3)
PACKED = data.collate_packed([[5, 6], [7, 8]])
ORDER = data.EpochOrder(length=3, seed=7)
Kind = enum.IntEnum("Kind", ["A", "B"])


def sparse() -> torch.Tensor:
    return torch.eye(2).to_sparse()


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def nested() -> torch.Tensor:
    return torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    # Huge numbers are cut short, whether Python can write them or not.
    (lambda: data.EpochOrder(length=10**400, seed=7), ValueError, r"length must be in .*got length=10+\.\.\.0+\.$"),
    (lambda: data.EpochOrder(length=3, seed=HUGE), ValueError, "seed must be in .*got seed=an integer of 16610 bits"),
    (lambda: data.index_at(ORDER, [3, 10**400]), IndexError, r"position must be in .*got position=10+\.\.\."),
    (
        partial(resources.prune, older_than=HUGE),
        TypeError,
        "older_than must be a number of seconds of at least 0, got older_than=a huge",
    ),
    (
        lambda: data.MixtureOrder(orders=(ORDER, ORDER), weights=[1, 10**400]),
        ValueError,
        r"weights must sum .*got 10+\.\.\.",
    ),
    (lambda: randomness.sample_by_weight([HUGE], 1, generator=torch.Generator()), ValueError, "weights must be finite"),
    (
        lambda: data.corrupt_spans(
            IDS, IDS > 0, seeds=IDS[0, :2], sentinel_ids=[9], padding_value=0, noise_density=HUGE
        ),
        ValueError,
        "noise_density must be above 0 and below 1, got noise_density=inf",
    ),
    (partial(run_subprocess_safely, "true", HUGE), ValueError, "timeout must be 0 to .*got timeout=an integer of"),
    (partial(run_subprocess_safely, "true\0"), ValueError, "command must consist of characters"),
    # Negative sizes.
    (lambda: padding.length_mask(torch.tensor([1]), -1), ValueError, "length must be in 0.*got length=-1"),
    (lambda: padding.row_mask([1], -(2**63)), ValueError, "width must be in 0"),
    (lambda: padding.row_mask([1, -(2**31)], 3), ValueError, "lengths must not be negative, got -2147483648"),
    (partial(data.shuffle_report, ORDER, 5, batch_size=4, start=-1), IndexError, "start must be in 0"),
    # Tensors whose elements can't be read one after the other, and arrays that hide some.
    (lambda: data.next_token_labels(IDS.to_sparse(), IDS > 0), TypeError, "ids must be dense, got a tensor of layout"),
    (lambda: data.index_at(ORDER, torch.eye(2).to_sparse_csr()), TypeError, "position must be dense, got a tensor of"),
    (lambda: padding.row_mask(quantized(), 3), TypeError, "lengths must be dense, got a quantized tensor"),
    (lambda: data.integer_weights(nested()), TypeError, "weights must be dense, got a nested tensor"),
    (lambda: data.PRNGResampleDataset(nested(), seed=3), TypeError, "dataset must have a length, got a nested tensor"),
    (lambda: data.unpack({**PACKED, "cu_seqlens": IDS.to_sparse()}), TypeError, r"batch\['cu_seqlens'\] must be dense"),
    (lambda: padding.row_mask(np.ma.masked_array([1, 2], [1, 0]), 3), TypeError, "lengths must be dense, got a masked"),
    # Arrays and tensors without an axis, and what only looks as if it had a length.
    (lambda: testing.replayed(torch.tensor(3)), TypeError, r"loader must have elements, got loader=tensor\(3\)"),
    (lambda: padding.row_mask(np.array(3), 3), TypeError, "lengths must have elements"),
    (lambda: data.filter_idx(torch.tensor(3), [0]), TypeError, "dataset must have elements"),
    (lambda: data.Source(Kind.A), TypeError, "dataset must be indexed by position and have a length, got a Kind"),
    (lambda: data.Source(np.array(3)), TypeError, "dataset must be indexed by position .*which has no axis"),
    (lambda: data.split_indices(np.array(3), seed=7, fractions={"a": 1.0}), TypeError, "keys must have one axis"),
    (lambda: data.reverse_complement([0], complement=torch.tensor(1)), ValueError, "complement must have one axis"),
    (
        lambda: mean_reports([{"loss": torch.tensor(1.0)}]),
        ValueError,
        r"reports must hold .*got reports\[0\]\['loss'\]",
    ),
    # Dtypes that torch or NumPy can't compute with.
    (lambda: padding.length_mask(torch.tensor([1]).to(torch.uint64), 3), TypeError, "lengths must be of a signed or"),
    (lambda: data.reverse_complement(IDS[0].bfloat16(), complement=[0]), TypeError, "row must be of a signed or 8-bit"),
    (lambda: data.filter_idx("ab", torch.ones(2).bfloat16()), TypeError, "keep must be an integer, got keep=1.0"),
    (lambda: sources.RaggedRows(torch.ones(2).bfloat16(), [0, 2]), TypeError, "flat must hold real numbers"),
    (lambda: sources.RaggedRows([1], [[1], [2, 3]]), TypeError, "offsets must have axes of one length"),
    (
        lambda: data.next_token_labels(IDS.bfloat16(), IDS > 0),
        TypeError,
        "ids must be integers, got dtype=torch.bfloat16",
    ),
    (lambda: cross_entropy.token_cross_entropy(IDS, IDS[:, 0]), TypeError, "logits must be floats"),
    (lambda: cross_entropy.token_cross_entropy(torch.ones(2, 0), IDS[:, 0]), ValueError, "logits must have one row"),
    # Shapes that don't belong together.
    (
        lambda: randomness.bits_at(IDS, torch.arange(4)),
        ValueError,
        r"seed and counter must have shapes .*\(2, 3\) and \(4,\)",
    ),
    (
        lambda: randomness.fold_in(IDS, torch.arange(4)),
        ValueError,
        r"seed and data\[0\] must have shapes that broadcast",
    ),
    (lambda: data.unpack({**PACKED, "mask": IDS[0] > 0}), ValueError, "batch must have one mask, position and segment"),
    (
        lambda: data.shard_for_context_parallel(PACKED, 0, 2**63 - 1),
        ValueError,
        "world_size must be in 1..2147483648",
    ),
    (
        lambda: data.shard_for_context_parallel({**PACKED, "ids": None}, 0, 1, names=["ids"]),
        ValueError,
        "names must be those of tensors with one value per token",
    ),
    (lambda: data.flash_attention_inputs({**PACKED, "max_seqlen": None}), ValueError, "got no max_seqlen"),
    (lambda: data.collate_packed([[5]], divisible_by=2**62), ValueError, "divisible_by must be small enough"),
    (lambda: data.collate_packed([[5]], length=2**62), ValueError, "length must be small enough"),
    # Errors name the parameter of the function that was called.
    (lambda: data.ClusterOrder(clusters=[0.5], seed=7), TypeError, "clusters must be an integer"),
    (lambda: data.BalancedOrder(groups=[], seed=7), ValueError, "groups must be one axis of at least one label"),
    (lambda: data.ClusterTable(offsets=[0.5]), TypeError, "offsets must be an integer"),
    (lambda: data.ClusterTable(offsets=[0, 1], members=[2**64]), ValueError, "members must be below"),
    (lambda: data.Pipeline(order=ORDER, sources=3, batch_size=1, seed=7), TypeError, "sources must be indexed by"),
    (lambda: config_to_yaml(3), TypeError, "config must be an attrs record, got config=3"),
    (lambda: record.given_fields(3), TypeError, "record must be an attrs record, got 3"),
    (lambda: record.plain_to_json({1, 2}), TypeError, "plain must hold finite numbers"),
    (lambda: record.plain_to_json(float("nan")), ValueError, "plain must hold finite numbers"),
    (lambda: transformer_config(3), TypeError, "sizes must be an attrs record"),
    (
        lambda: transformer_config(TransformerSizes(num_layers=1, hidden_size=8, num_attention_heads=2), int),
        TypeError,
        "cls",
    ),
    (lambda: gather_parts(3, IDS), TypeError, "accelerator must be an accelerate.Accelerator"),
    (lambda: randomness.make_generator(3, device="none"), ValueError, "device must be one that this machine has"),
    (lambda: resources.prune(older_than=1, dry_run=3), TypeError, "dry_run must be True or False"),
    (lambda: resources.load("a/b", cache_dir=3), TypeError, "cache_dir must be a folder"),
    (lambda: resources.load("a/b", source=["s3"]), TypeError, "source must be the scheme of a URL"),
    (lambda: resources.load("a/b", verify=3), TypeError, "verify must be True or False"),
    (lambda: resources.load("a/b", limits=3), TypeError, "limits must be UnpackLimits"),
    (lambda: resources.get_all_resources(3), TypeError, "path must be a folder or a file"),
    (lambda: sources.RemoteRows(3, opener=len), TypeError, "manifest must be a URL"),
    (lambda: sources.RemoteRows("a", opener=len, cache=3), TypeError, "cache must be a string or path"),
    (lambda: sources.write_manifest(3, ["a"], opener=len), TypeError, "folder must be a string or path"),
    (lambda: sources.write_tokens("a", 3, dtype="u1"), TypeError, "rows must be an iterable"),
    (lambda: sources.write_tokens(3, [[5]], dtype="u1"), TypeError, "path must be a string or path, got .* type int"),
    (lambda: sources.TokenFile(None), TypeError, "path must be a string or path, got .* type NoneType"),
    (lambda: sources.tokenize_fasta(__file__, 3, table=[0] * 256), TypeError, "out must be a string or path"),
    (lambda: sources.tokenize_fasta(3, "a", table=[0] * 256), TypeError, "fasta must be a string or path"),
    (lambda: sources.CellRows("a", layer=3), TypeError, "layer must be the name of a layer or None"),
    (
        lambda: data.random_crop(collections.deque([1, 2]), 1, generator=torch.Generator()),
        TypeError,
        "row must be a sequence",
    ),
    (lambda: resources.prune(older_than=True), TypeError, "older_than must be a number of seconds"),
    (lambda: resources.prune(older_than=np.True_), TypeError, "older_than must be a number of seconds"),
    (lambda: resources.prune(older_than="3"), TypeError, "older_than must be a number of seconds"),
    (lambda: sources.write_manifest("a", [[]], opener=len), ValueError, r"at least one file per shard, got \[\]"),
    (
        lambda: data.mask_packed_tokens(
            PACKED | {"mask": PACKED["mask"].double()}, seeds=IDS[0, :2], mask_id=1, replacement_ids=[5]
        ),
        TypeError,
        r"batch\['mask'\] must hold bools, got dtype=torch.float64",
    ),
    (
        lambda: mean_reports([{"loss": nested()}]),
        ValueError,
        r"reports must hold the same names, and tensors of a sum and a number, got reports\[0\]\[.loss.\]=",
    ),
    (lambda: plot.plot_batch({"ids": nested()}), TypeError, "ids must be dense, got a nested tensor"),
    (lambda: data.read_run_log(""), ValueError, "can't read '': Is a directory"),
    (lambda: data.token_weights([], []), ValueError, "fractions must hold at least one above 0, got fractions="),
    (
        lambda: testing.assert_megatron_compatible(torch.tensor(2.5)),
        AssertionError,
        "Megatron needs the length of a dataset: dataset must have a length, or pass indices, got .* of type Tensor",
    ),
    (
        lambda: testing.assert_exact_coverage(lambda rank, world_size: [[0]], list, 1, world_size=["b", "a", 1]),
        TypeError,
        "world_size must be an integer, got world_size='b'",
    ),
    (
        lambda: testing.assert_exact_coverage(lambda rank, world_size: [[0]], list, [[1], [2, 3]]),
        TypeError,
        r"num_samples must be a number, or hold ids that can be hashed, got \[1\]",
    ),
    (
        lambda: padding.truncate_token_ids([[5], nested()], 1),
        TypeError,
        "row 1 of token_ids must be dense, got a nested",
    ),
    (
        lambda: testing.assert_megatron_compatible(nested(), [0]),
        AssertionError,
        "dataset must have a length, or pass indices, got .* of type Tensor",
    ),
    (
        lambda: data.MixtureOrder(orders=(ORDER, ORDER), weights=[1, 1], changes=[(3, [2, 1j])]),
        TypeError,
        r"weights of changes\[0\]\[1\] must be an integer, got .*=1j",
    ),
    (
        lambda: data.padding_fraction(
            data.EpochOrder(length=3, seed=7, num_samples=40), [1, 2, 3], batch_size=7, num_batches=7
        ),
        IndexError,
        "num_batches must be at most the order's 5 batches of 7, got num_batches=7",
    ),
    # Tensors among numbers that NumPy can't take.
    (lambda: data.index_at(ORDER, [sparse()]), TypeError, "position must be integers in axes of one length"),
    (lambda: data.WeightedOrder(weights=[1, nested()], seed=1), TypeError, "weights must be real numbers in one axis"),
    (lambda: data.WeightedOrder(weights=[sparse(), 2], seed=1), TypeError, "weights must be real numbers in one axis"),
    (lambda: padding.pad_token_ids([[5, nested()]]), TypeError, "each row of token_ids must be a sequence of numbers"),
    (
        lambda: data.split_indices(["a", sparse()], fractions={"train": 1}, seed=1),
        TypeError,
        "keys must be integers",
    ),
    (
        lambda: plot.plot_coverage([{"step": 0, "rank": 0, "ids": sparse()}]),
        TypeError,
        r"ids of history\[0\] must be dense",
    ),
    (
        lambda: data.unshard_context_parallel([PACKED], names=[np.array([None, "a"])]),
        ValueError,
        "names must be names of the batch",
    ),
    (lambda: data.read_run_log("a" * 1000), ValueError, r"can't read 'a+\.\.\.a+': File name too long"),
    (lambda: data.SkipOrder(order=ORDER, positions=[1, nested()]), TypeError, "positions must hold integers and pairs"),
    (lambda: data.index_at(ORDER, [1, nested()]), TypeError, "position must be integers in axes of one length"),
    # Fields of a packed batch that don't fit together.
    (
        lambda: data.shard_for_context_parallel(PACKED | {"cu_seqlens_padded": torch.tensor([0, 2**40, 4])}, 0, 1),
        ValueError,
        r"batch\['cu_seqlens_padded'\] must ascend from 0 to at most 4, got \[0, 1099511627776, 4\]",
    ),
    (
        lambda: data.unshard_context_parallel([PACKED | {"cu_seqlens_padded": torch.tensor([0, 2, 2**62])}]),
        ValueError,
        r"parts\['cu_seqlens_padded'\] must ascend from 0 to at most 4",
    ),
    (
        lambda: data.unpack(PACKED | {"cu_seqlens": torch.tensor([0, -1, 4])}),
        ValueError,
        r"batch\['cu_seqlens'\] must ascend from 0 to at most 4, got \[0, -1, 4\]",
    ),
    (
        lambda: data.mask_packed_tokens(
            PACKED | {"segment_ids": torch.tensor([0, 0, 7, 1])}, seeds=IDS[0, :2], mask_id=1, replacement_ids=[5]
        ),
        ValueError,
        r"batch\['segment_ids'\] must be in -1\.\.1, got 0\.\.7",
    ),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about kinds of tensors
@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_it_is_refused_by_name(number: int) -> None:
    make, error, text = REFUSED[number]
    with pytest.raises(error, match=text) as caught:
        make()
    assert len(str(caught.value)) < 600


def test_a_buffer_of_inference_mode_is_refused_outside_of_it() -> None:
    with torch.inference_mode():
        buffers = torch.empty(9, dtype=torch.int64), torch.empty(9, dtype=torch.bool)
        padding.pad_token_ids_into(*buffers, [[5, 6]])
    with pytest.raises(ValueError, match="ids_buffer must not be made in inference mode"):
        padding.pad_token_ids_into(*buffers, [[5, 6]])


def test_records_of_megatron_hold_python_ints() -> None:
    sizes = TransformerSizes(
        num_layers=np.int8(1), hidden_size=np.int64(8), num_attention_heads=np.uint8(2), num_query_groups=np.int16(2)
    )
    config = MegatronGPTConfig(transformer=sizes, vocab_size=np.int64(8), max_length=np.int32(4))
    values = [*attrs.astuple(sizes)[:3], sizes.num_query_groups, config.vocab_size, config.max_length]
    assert {*map(type, values)} == {int}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_tokens_of_unsigned_dtypes(dtype: torch.dtype) -> None:
    batch = data.collate_packed([[5, 6, 7, 8], [9, 10]], divisible_by=4)
    batch = {**batch, "ids": batch["ids"].to(dtype)}
    parts = [data.shard_for_context_parallel(batch, rank, 2) for rank in range(2)]
    assert [part["ids"].tolist() for part in parts] == [[5, 8, 9, 0], [6, 7, 10, 0]]
    assert torch.equal(data.unshard_context_parallel(parts)["ids"], batch["ids"])


def test_numbers_of_a_packed_batch_may_be_of_smaller_dtypes() -> None:
    small = PACKED | {name: PACKED[name].to(torch.int8) for name in ("positions", "segment_ids", "cu_seqlens")}
    masked = [
        data.mask_packed_tokens(batch, seeds=IDS[0, :2], mask_id=1, replacement_ids=[5], mask_prob=0.5)["labels"]
        for batch in (PACKED, small)
    ]
    assert torch.equal(*masked)


def test_differences_of_records_with_arrays() -> None:
    saved, current = {"a": torch.tensor([1, 2]), "b": np.arange(2)}, {"a": torch.tensor([1, 3]), "b": np.arange(2)}
    assert data.record_differences(saved, current) == {"a": ([1, 2], [1, 3])}


def test_labels_may_be_bytes() -> None:
    logits, labels = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 3, 2])
    found = cross_entropy.token_cross_entropy(logits, labels.to(torch.uint8))
    assert torch.equal(found.loss_sum, cross_entropy.token_cross_entropy(logits, labels).loss_sum)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about nested tensors
def test_a_nested_tensor_is_described() -> None:
    assert "float32 of several shapes" in batch_html({"rows": nested()})


def test_an_array_is_described() -> None:
    assert "int8 (2, 3)" in batch_html({"rows": np.ones((2, 3), np.int8)})
    assert "int64 ()" in batch_html({"row": np.array(2)})


def test_a_context_parallel_rank_may_have_nothing_to_do() -> None:
    empty = data.collate_packed([])
    assert data.shard_for_context_parallel(empty, 5, 2**31)["ids"].shape == (0,)
