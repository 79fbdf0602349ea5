"""Valid calls of pipelines, loaders, nodes and sources."""

from collections.abc import Iterator

import numpy as np

from bionemo import data
from bionemo.data import pipes, sources, testing
from bionemo.data.pipes import nodes
from tests.fuzzing.calls.parts import PIPELINE, SHORT, Call, call, indices_node, loader_call, samples_node


def pipeline_calls() -> Iterator[Call]:
    yield call(data.Source, dataset="abc", transform=None, index="idx", fingerprint="v1")
    options = {"collate": "".join, "batch_transform": None, "drop_last": True}
    yield call(data.Pipeline, order=SHORT, sources="abcdefghijkl", batch_size=4, seed=3, **options)
    yield call(data.batch_at, pipeline=PIPELINE, step=1, rank=0, world_size=1)
    yield call(data.batch_from, pipeline=PIPELINE, start=1, rank=0, world_size=1)
    yield call(data.describe_batch, pipeline=PIPELINE, step=1, rank=0, world_size=1)
    yield call(data.find_sample, pipeline=PIPELINE, index=data.SampleIndex(0, 1, 2), world_size=1)
    yield call(data.num_batches, pipeline=PIPELINE)
    yield call(data.step_of, pipeline=PIPELINE, position=1)
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
