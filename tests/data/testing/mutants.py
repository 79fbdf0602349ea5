"""Copies of this library with one fault each, and the laws that find it.

    python -m tests.data.testing.mutants [NAME ...]

Each copy runs in a process of its own, in which the source of one module is changed when it is imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]


class Mutant(NamedTuple):
    """A fault: in the source of a module, one text is replaced by another."""

    name: str
    module: str
    before: str
    after: str


ORDERS = "bionemo.data.orders."
MUTANTS = [
    Mutant("permutation: one cell too many in a column", "bionemo.data.permute",
           "size = end + (column < last)\n        word =", "size = end + (column <= last)\n        word ="),
    Mutant("permutation: wrong wrap of a row", "bionemo.data.permute",
           "row = row - (row >= size) * size", "row = row - (row > size) * size"),
    Mutant("permutation: rounds undone in the same direction", "bionemo.data.permute",
           "for row_key, column_key in reversed(keys):", "for row_key, column_key in keys:"),
    Mutant("epochs: every epoch has the same order", ORDERS + "epoch",
           "fold_word(self._epoch_seed, epoch)", "fold_word(self._epoch_seed, epoch * 0)"),
    Mutant("epochs: seed + epoch", ORDERS + "epoch", "fold_word(self._epoch_seed, epoch)", "self.seed + epoch"),
    Mutant("epochs: an epoch is one sample too short", ORDERS + "epoch",
           "divmod(as_int(position), self.length)", "divmod(as_int(position), max(self.length - 1, 1))"),
    Mutant("epochs: the inverse counts epochs from 1", ORDERS + "epoch",
           "return epoch * self.length + (", "return (epoch + 1) * self.length + ("),
    Mutant("blocks: the short block is read as if it were whole", ORDERS + "block",
           "cell = cell + (cell >= window.gap) * self._missing\n        slot", "slot"),
    Mutant("blocks: off by one at the short block", ORDERS + "block",
           "cell = cell + (cell >= window.gap)", "cell = cell + (cell > window.gap)"),
    Mutant("blocks: a window ends one block late", ORDERS + "block",
           "following = first + window_blocks + (", "following = first + window_blocks + 1 + ("),
    Mutant("mixture: rounding the wrong way", ORDERS + "by_weight.interleave",
           ">= 2 * (total - left)) * 1", "> 2 * (total - left)) * 1"),
    Mutant("mixture: counts begin again when weights change", ORDERS + "by_weight.interleave",
           " + item + take(tables.before, stretch * num_sources + source)", " + item"),
    Mutant("packing: the last bin of a step is left out", ORDERS + "by_length.planned",
           "cuts[first : first + self.bins_per_step + 1], position)",
           "cuts[first : first + max(self.bins_per_step, 2)], position)"),
    Mutant("packing: a step begins one bin early", ORDERS + "by_length.planned",
           'number = int(cuts.searchsorted(position - start, side="right")) - 1\n        first',
           'number = int(cuts.searchsorted(position - start, side="left")) - 1\n        first'),
    Mutant("packing: steps are numbered per window", ORDERS + "by_length.planned",
           "return self._steps_before_span(span) + int(steps[window]) + number", "return number"),
    Mutant("windows: slots that don't belong to the samples", ORDERS + "by_length.windows",
           "slot_of[slots] = np.arange(size)", "slot_of[:] = slots"),
    Mutant("clusters: members are drawn by the visit, not the turn", ORDERS + "by_cluster.clusters",
           "turn, size=size, group=cluster, again=visit // size\n        )\n        return SampleIndex(0",
           "turn, size=size, group=cluster, again=visit\n        )\n        return SampleIndex(0"),
    Mutant("skips: one position too late", ORDERS + "skip",
           "return self.order.index_at(self.position_before(position))",
           "return self.order.index_at(self.position_before(position) + 1)"),
    Mutant("steps: the rest of the order is dropped", "bionemo.data.pipeline.steps",
           "return start if pipeline.drop_last else max(start, end)", "return start"),
    Mutant("steps: ranks overlap", "bionemo.data.pipeline.steps",
           "return range(bounds[rank * size // world_size],",
           "return range(bounds[max(rank * size // world_size - 1, 0)],"),
    Mutant("steps: a gap between ranks", "bionemo.data.pipeline.steps",
           "return range(bounds[rank * size // world_size],", "return range(bounds[-(-rank * size // world_size)],"),
    Mutant("steps: a pass is one batch too long", "bionemo.data.pipeline.steps",
           "// as_int(batches_per_epoch) + 1) * as_int(batches_per_epoch)",
           "// as_int(batches_per_epoch) + 1) * as_int(batches_per_epoch) + 1"),
    Mutant("loader: a batch counts only when the next one is asked for", "bionemo.data.pipes.loader",
           "self.consumed_samples = self.consumed_samples, delivery.stop\n            yield delivery.batch",
           "before = self.consumed_samples, None\n            yield delivery.batch\n"
           "            self.consumed_samples = delivery.stop"),
    Mutant("loader: a batch is lost on resume", "bionemo.data.pipes.loader",
           "self.consumed_samples = self._begin = start\n",
           "self.consumed_samples = self._begin = start + 4 * (start > 0)\n"),
    Mutant("loader: resumes at the start of the epoch", "bionemo.data.pipes.loader",
           "self.consumed_samples = self._begin = start\n", "self.consumed_samples = self._begin = start // 24 * 24\n"),
    Mutant("loader: the state counts a rank's own samples", "bionemo.data.pipes.loader",
           "return loader_state(self.pipeline, self.consumed_samples)",
           "return loader_state(self.pipeline, self.consumed_samples // self.world_size)"),
    Mutant("loader: planned positions run ahead", "bionemo.data.pipes.stretches",
           "np.add.outer(size * np.arange(count)", "np.add.outer((size + 1) * np.arange(count)"),
    Mutant("threads: batches out of order", "bionemo.data.pipes.stream", "made.popleft()", "made.pop()"),
    Mutant("read ahead: samples dealt to the wrong batches", "bionemo.data.reading.together",
           "back[order] = np.cumsum(is_new) - 1", "back[:] = np.cumsum(is_new) - 1"),
    Mutant("workers: each begins a stretch late", "bionemo.data.pipes.processes.workers",
           "yield first, num_batches\n                first, num_batches = start, 0",
           "yield start, num_batches\n                first, num_batches = start, 0"),
    Mutant("seeds: numbered within the batch", "bionemo.data.pipeline.transform",
           "torch.from_numpy(fold_mixed(_mixed_seed(seed, purpose), numbers))",
           "torch.from_numpy(fold_mixed(_mixed_seed(seed, purpose), numbers - numbers[:1]))"),
    Mutant("seeds: transforms draw from the global state", "bionemo.data.pipeline.transform",
           "generator=torch.Generator().manual_seed(seed)", "generator=torch.default_generator"),
    Mutant("seeds: global states are seeded alike for each batch", "bionemo.data.pipeline.assemble",
           'fold_in(pipeline.seed, "global", *positions)', 'fold_in(pipeline.seed, "global")'),
    Mutant("collate: the first sample of each batch is lost", "bionemo.data.pipeline.assemble",
           "batch = pipeline.collate(list(samples))", "batch = pipeline.collate(list(samples)[1:] or list(samples))"),
]  # fmt: skip


def laws() -> Iterable[tuple[str, Callable[[], Any]]]:
    """Yield the laws, each with the orders, pipelines and loaders of this library that it is applied to."""
    import warnings

    import torch

    from bionemo import data
    from bionemo.data import permute as permutation
    from bionemo.data import testing
    from bionemo.data.pipes import loader

    warnings.simplefilter("ignore")
    epochs = data.EpochOrder(length=24, seed=7)
    once = data.EpochOrder(length=50, seed=7, num_samples=50)
    lengths = [1 + idx * 7 % 9 for idx in range(50)]
    bins = {"order": once, "lengths": lengths, "max_tokens": 10, "bins_per_step": 3, "window_size": 20, "seed": 3}
    mixture = data.MixtureOrder(
        orders=[epochs, data.EpochOrder(length=9, seed=3)], weights=(5, 3), changes=[(20, (1, 6))]
    )
    orders = [
        data.EpochOrder(length=100, seed=7), once, mixture,
        data.BlockShuffleOrder(length=101, block_size=7, blocks_per_window=3, seed=1),
        data.ClusterOrder(clusters=[idx % 7 % 3 for idx in range(30)], seed=5),
        data.PackedOrder(**bins), data.TokenBudgetOrder(**bins),
        data.LengthGroupedOrder(order=once, lengths=lengths, window_size=20, batch_size=4, seed=3),
        data.SkipOrder(order=once, positions=[(3, 9), 20]), data.ResampleOrder(length=20, seed=3),
        data.WeightedOrder(weights=range(1, 9), seed=3), data.EpochBatchOrder(order=epochs, batch_size=5, rest="drop"),
    ]  # fmt: skip

    def noisy(sample: int, *, generator: torch.Generator) -> tuple[int, float]:
        return sample, float(torch.rand((), generator=generator, dtype=torch.float64))

    def noisy_globally(sample: int) -> tuple[int, float]:
        return sample, float(torch.rand((), dtype=torch.float64))

    def make(order: Any, transform: Any = noisy, batch_size: int | None = 4, **fields: Any) -> Any:
        given = {"order": order, "batch_size": batch_size, "seed": 5, "collate": list, **fields}
        sources = tuple(data.Source(range(length), transform=transform) for length in order.source_lengths)
        return data.Pipeline(sources=sources, **given)

    def ids_of(batch: list[Any]) -> list[int]:
        return [sample for sample, _ in batch]

    for length in (1, 2, 3, 16, 17, 100, 1025):
        options = {"length": length, "seed": 3}
        inverse = partial(permutation.unpermute, **options)
        yield (
            "assert_bijection",
            partial(testing.assert_bijection, partial(permutation.permute, **options), length, inverse=inverse),
        )
    for order in orders:
        is_shuffle = type(order).__name__ in {"EpochOrder", "BlockShuffleOrder"}
        yield "assert_order", partial(testing.assert_order, order, shuffles_epochs=is_shuffle, num_positions=300)

    packed = make(data.PackedOrder(**bins), batch_size=None)
    for pipeline in (make(once), packed, make(once, batch_size=7)):
        yield (
            "assert_exact_coverage",
            partial(testing.assert_exact_coverage, partial(loader, pipeline), ids_of, 50, [1, 2, 3]),
        )
        yield (
            "assert_resumes_exactly",
            partial(testing.assert_resumes_exactly, partial(loader, pipeline), ids_of, num_epochs=1),
        )
        yield (
            "assert_resumes_on_other_ranks",
            partial(testing.assert_resumes_on_other_ranks, partial(loader, pipeline), ids_of),
        )
    paused = partial(loader, make(epochs), batches_per_epoch=6)
    yield "assert_exact_coverage", partial(
        testing.assert_exact_coverage, lambda *ranks: loader(make(epochs), *ranks, batches_per_epoch=6), ids_of, 24, 2,
        num_epochs=3,
    )  # fmt: skip
    yield "assert_epochs_differ", partial(testing.assert_epochs_differ, paused, ids_of)
    plain = make(epochs, transform=None, seed_global_states=False)
    for options in (
        {},
        {"num_threads": 2},
        {"read_ahead": 3},
        {"num_workers": 2, "read_ahead": 2, "multiprocessing_context": "fork"},
    ):
        other = partial(loader, plain, batches_per_epoch=6, **options)
        yield (
            "assert_resumes_exactly",
            partial(testing.assert_resumes_exactly, partial(loader, plain, batches_per_epoch=6), list, others=[other]),
        )
    for transform in (noisy, noisy_globally):
        whole = make(epochs, transform)
        yield "assert_ranks_draw_differently", partial(
            testing.assert_ranks_draw_differently, partial(loader, whole, batches_per_epoch=6),
            lambda batch: [draw for _, draw in batch],
        )  # fmt: skip
        yield "check_pure_reads", partial(testing.check_pure_reads, partial(data.batch_at, whole), range(4))
    unseeded = make(epochs, seed_global_states=False)
    yield "check_pure_reads", partial(testing.check_pure_reads, partial(data.batch_at, unseeded), range(4))


def first_broken() -> str:
    """Return the first law that is broken, and how; an empty text if none is."""
    for name, check in laws():
        try:
            check()
        except AssertionError as error:
            return f"{name}: {' '.join(str(error).split())[:150]}"
        except Exception as error:  # noqa: BLE001 - a law that ends in any error is one that fails
            last = traceback.extract_tb(error.__traceback__)[-1]
            return f"{name}: {type(error).__name__}: {str(error)[:100]} in {last.name}"
    return ""


class _Mutating(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from its changed source."""

    def __init__(self, mutant: Mutant) -> None:
        found = importlib.util.find_spec(mutant.module)
        assert found is not None
        super().__init__(mutant.module, str(found.origin))
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self.mutant.module else None

    def get_code(self, name: str) -> Any:
        source = Path(self.path).read_text(encoding="utf-8")
        assert source.count(self.mutant.before) == 1, f"{self.mutant.name}: {source.count(self.mutant.before)} texts"
        return compile(source.replace(self.mutant.before, self.mutant.after), self.path, "exec")


def run_mutant(mutant: Mutant | None) -> str:
    """Return the first law that a copy with a fault breaks, found in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if mutant is not None:
                spec = _Mutating(mutant)
                for name in [name for name in sys.modules if name == "bionemo" or name.startswith("bionemo.")]:
                    del sys.modules[name]
                sys.meta_path.insert(0, spec)
            found = first_broken()
        except BaseException:  # noqa: BLE001 - reported by the parent
            found = f"failed: {traceback.format_exc()}"
        os.write(writing, found.encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return found


def main(names: list[str]) -> int:
    """Run the mutants of these names, or all and the library itself; return the number that no law finds."""
    import torch  # noqa: F401 - once, before the processes are forked

    alive = 0
    for mutant in [None, *(mutant for mutant in MUTANTS if not names or mutant.name in names)]:
        began = time.perf_counter()
        found = run_mutant(mutant)
        is_right = not found if mutant is None else bool(found) and not found.startswith("failed")
        alive += not is_right
        print(f"{'' if is_right else 'WRONG '}{mutant.name if mutant else 'the library itself'} "  # noqa: T201
              f"({time.perf_counter() - began:.1f} s): {found or 'no law is broken'}", flush=True)  # fmt: skip
    return alive


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
