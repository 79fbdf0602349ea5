"""Worker processes: the same batches, clear errors, and no process left."""

import gc
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, MixtureOrder, Pipeline, Source, batch_at, mask_tokens
from bionemo.data.pipes import loader

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core


def with_number(sample, *, generator: torch.Generator):
    return sample, int(torch.randint(10**9, (), generator=generator)), os.getpid()


def without_pid(batch: list) -> list:
    return [sample[:2] for sample in batch]


def seeded(batch: list, *, seeds: torch.Tensor) -> list:
    return list(zip(batch, seeds.tolist(), strict=True))


def masked(ids: torch.Tensor, *, seeds: torch.Tensor):
    return mask_tokens(ids, ids % 5 > 0, seeds=seeds, mask_id=1, replacement_ids=range(360))


def fail_at(sample: int, *, generator: torch.Generator, bad: int):
    if sample == bad:
        raise LookupError("no such residue")
    return sample


def die_at(sample: int, *, generator: torch.Generator, bad: int):
    if sample == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return sample


def stop(sample: int, *, generator: torch.Generator):
    next(iter([]))


def make(num_samples: int | None = 100, transform=with_number, **fields) -> Pipeline:
    order = EpochOrder(length=30, seed=42, num_samples=num_samples)
    sources = Source(list(range(30)), transform=transform)
    return Pipeline(**{"order": order, "sources": sources, "batch_size": 8, "seed": 7, "collate": list} | fields)


def no_children() -> bool:
    """Return whether all worker processes end within 20 seconds."""
    end = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.01)
    return not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("num_workers", "context"), [(1, "fork"), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_workers_read_what_one_process_reads(num_workers: int, context: str) -> None:
    pipeline = make(collate=without_pid, batch_transform=seeded)
    for rank in range(2):
        batches = loader(pipeline, rank, 2, num_workers=num_workers, multiprocessing_context=context)
        assert list(batches) == [batch_at(pipeline, step, rank, 2) for step in range(13)]
        with pytest.warns(UserWarning, match="the order ended at position 100 in an earlier iteration"):
            assert list(batches) == []
        batches.close()
    assert no_children()


def test_workers_are_other_processes_and_persist_across_pauses() -> None:
    batches = loader(make(None), batches_per_epoch=4, num_workers=2, multiprocessing_context="fork")
    epochs = [list(batches) for _ in range(3)]
    readers = {sample[2] for epoch in epochs for batch in epoch for sample in batch}
    assert len(readers) == 2
    assert os.getpid() not in readers
    found = [without_pid(batch) for epoch in epochs for batch in epoch]
    assert found == [without_pid(batch_at(make(None), step)) for step in range(12)]


def test_the_state_counts_delivered_batches_and_resumes_with_any_number_of_workers() -> None:
    pipeline = make(collate=without_pid)
    first = loader(pipeline, num_workers=2, multiprocessing_context="fork", prefetch_factor=4)
    iterator = iter(first)
    delivered = [next(iterator) for _ in range(3)]
    state = first.state_dict()
    assert state["consumed_samples"] == 24
    assert state == loader(pipeline, start=24).state_dict()
    for num_workers in (0, 1, 2):
        second = loader(pipeline, num_workers=num_workers, multiprocessing_context="fork" if num_workers else None)
        second.load_state_dict(state)
        assert delivered + list(second) == list(loader(pipeline))
    assert delivered + list(first) == list(loader(pipeline))


def test_a_new_iteration_forgets_one_that_was_left_early() -> None:
    batches = loader(make(None, collate=without_pid), num_workers=2, multiprocessing_context="fork", restart=True)
    expected = [batch_at(make(None, collate=without_pid), step) for step in range(3)]
    for _ in range(3):
        assert [batch for batch, _ in zip(batches, range(3), strict=False)] == expected


class Logged:
    """A data set of indices that appends the index of each sample that is read to a file."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __len__(self) -> int:
        return 30

    def __getitem__(self, idx: int) -> int:
        with self.log.open("a") as file:
            file.write(f"{idx}\n")
        return idx


def test_workers_read_each_batch_once_and_none_beyond_a_pause(tmp_path: Path) -> None:
    pipeline = make(None, sources=Logged(tmp_path / "log"))
    batches = loader(pipeline, batches_per_epoch=3, num_workers=2, multiprocessing_context="fork", prefetch_factor=4)
    delivered = [idx for _ in range(2) for batch in batches for idx in batch]
    batches.close()
    assert len(delivered) == 2 * 3 * 8
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == sorted(delivered)


def test_a_mixture_of_an_array_and_a_tensor_is_read() -> None:
    order = MixtureOrder(
        orders=(EpochOrder(length=9, seed=1), EpochOrder(length=7, seed=2)), weights=(2, 1), num_samples=40
    )
    sources = (np.arange(9), torch.arange(100, 107))
    pipeline = make(order=order, sources=sources, collate=np.array)
    for step, batch in enumerate(loader(pipeline, num_workers=2, multiprocessing_context="fork")):
        assert isinstance(batch, np.ndarray)
        assert batch.tolist() == batch_at(pipeline, step).tolist()


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_error_in_a_worker_names_the_sample_and_leaves_no_process(context: str) -> None:
    batches = loader(make(transform=partial(fail_at, bad=3)), num_workers=2, multiprocessing_context=context)
    with pytest.raises(
        LookupError, match=r"(?s)no such residue.*while reading position \d+: SampleIndex\(source=0, epoch=0, idx=3\)"
    ):
        list(batches)
    assert no_children()
    assert batches.consumed_samples % 8 == 0


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_worker_that_dies_ends_the_iteration_with_an_error(context: str) -> None:
    batches = loader(make(transform=partial(die_at, bad=3)), num_workers=2, multiprocessing_context=context)
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)"):
        list(batches)
    assert no_children()


def raise_connection_error(sample: int, *, generator: torch.Generator):
    if sample == 3:
        raise ConnectionResetError("by the data set")
    return sample


def test_a_worker_that_is_killed_while_its_batch_is_fetched_is_named() -> None:
    """Torch then raises the error of a connection, if the process has not ended yet. Of a data set it is passed on."""
    with pytest.raises(ConnectionResetError, match="by the data set"):
        list(loader(make(transform=raise_connection_error), num_workers=1, multiprocessing_context="fork"))
    batches = loader(make(), num_workers=1, multiprocessing_context="fork")
    next(iter(batches))
    workers = batches._workers
    (worker,) = workers._loader._iterator._workers
    assert workers._of_lost_worker(LookupError()) is None
    killing = threading.Timer(0.1, os.kill, [worker.pid, signal.SIGKILL])
    killing.start()
    error = workers._of_lost_worker(ConnectionResetError())
    assert re.match(rf"DataLoader worker \(pid {worker.pid}\) (is killed by signal|exited unexpectedly)", str(error))
    batches.close()
    killing.join()
    assert no_children()


def test_a_stop_iteration_in_a_worker_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration: an iterator in it has ended"):
        list(loader(make(transform=stop), num_workers=1, multiprocessing_context="fork"))


def test_a_loader_that_is_dropped_leaves_no_process_thread_or_file() -> None:
    threads, files = set(threading.enumerate()), set(Path("/proc/self/fd").iterdir())
    batches = loader(make(), num_workers=2, multiprocessing_context="fork")
    next(iter(batches))
    del batches
    assert no_children()
    end = time.monotonic() + 20
    while set(threading.enumerate()) - threads and time.monotonic() < end:  # a queue's thread ends after its process
        time.sleep(0.01)
    assert not set(threading.enumerate()) - threads
    assert len(set(Path("/proc/self/fd").iterdir()) - files) == 0


@pytest.mark.usefixtures("no_type_checks")  # the type checker checks a random element of a list
def test_no_global_random_state_is_changed() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    list(loader(make(), num_workers=1, multiprocessing_context="fork"))
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", ["main", "all"])
def test_ctrl_c_leaves_no_process(target: str, context: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import time
            from bionemo.data import EpochOrder, Pipeline, Source
            from bionemo.data.pipes import loader

            def slow(sample, *, generator):
                time.sleep(0.01)
                return sample

            if __name__ == "__main__":
                sources = Source(list(range(100)), transform=slow)
                pipeline = Pipeline(order=EpochOrder(length=100, seed=1), sources=sources, batch_size=4, seed=1)
                for batch in loader(pipeline, num_workers=2, multiprocessing_context="{context}"):
                    print("batch", flush=True)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "batch\n"
    os.kill(process.pid, signal.SIGINT) if target == "main" else os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # until no process is left that could write to the same streams
    assert process.returncode in {1, -signal.SIGINT}
    assert "KeyboardInterrupt" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_workers": -1}, "got num_workers=-1"), ({"prefetch_factor": 0}, "got prefetch_factor=0")],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loader(make(), **options)


def test_a_batch_that_does_not_pickle_is_an_error() -> None:
    batches = loader(make(collate=lambda _: threading.Lock()), num_workers=1, multiprocessing_context="fork")
    with pytest.raises(TypeError, match="a batch must pickle to leave a worker process, got lock"):
        next(iter(batches))


class Trouble:
    """A data set of indices, in which sample 13 makes trouble."""

    def __init__(self, make) -> None:
        self.make = make

    def __len__(self) -> int:
        return 64

    def __getitem__(self, idx: int):
        return self.make() if idx == 13 else idx


def local_error():
    class OddError(Exception):
        pass

    raise OddError("odd")


class TwoArgumentsError(Exception):
    def __init__(self, one, two) -> None:
        super().__init__(f"{one} and {two}")


class NotHereError(BaseException):
    """Not an `Exception`."""


def two_arguments():
    raise TwoArgumentsError("one", "two")


def not_an_exception():
    raise NotHereError("gone")


def out_of_memory():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
    return np.ones(2**40)


def hang():
    time.sleep(1000)


def hang_ignoring_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


class Unpicklable:
    """Pickles, but doesn't unpickle."""

    def __reduce__(self):
        return local_error, ()


TROUBLES = {
    "a lambda": (lambda: lambda: 0, TypeError, "a batch must pickle to leave a worker process, got list"),
    "an error of a local class": (local_error, RuntimeError, "OddError: odd"),
    "an error of two arguments": (two_arguments, RuntimeError, "one and two"),
    "not an Exception": (not_an_exception, RuntimeError, "exited unexpectedly"),
    "an exit": (lambda: sys.exit(3), RuntimeError, "exited unexpectedly"),
    "an exit at once": (lambda: os._exit(3), RuntimeError, "exited unexpectedly"),
    "a kill": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        RuntimeError,
        "killed by signal: Killed|exited unexpectedly",
    ),
    "out of memory": (out_of_memory, (MemoryError, RuntimeError), "Unable to allocate"),
    "a batch that does not unpickle": (Unpicklable, Exception, "odd"),
    "a hang": (hang, RuntimeError, "timed out after 1.5 seconds"),
    "a hang that ignores SIGTERM": (hang_ignoring_sigterm, RuntimeError, "timed out after 1.5 seconds"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("step", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_trouble_at_any_step_is_an_error_in_bounded_time_and_leaves_no_process(trouble: str, step: int) -> None:
    make_trouble, kind, text = TROUBLES[trouble]
    order = EpochOrder(length=64, seed=1, shuffle=False)
    shift = {0: 8, 5: 32}[step]  # sample 13 comes in batch 1; from sample 32 on, in batch 5
    pipeline = Pipeline(order=order, sources=Trouble(make_trouble), batch_size=8, seed=1)
    files = set(Path("/proc/self/fd").iterdir())
    batches = loader(pipeline, num_workers=2, multiprocessing_context="fork", timeout=1.5, start=shift)
    start, seen = time.monotonic(), []
    with pytest.raises(kind, match=f"(?s){text}") as raised:
        seen.extend(batches)
    assert time.monotonic() - start < 60
    # The end of a worker is noticed at once, perhaps before batches that it had read ahead are delivered.
    ends_worker = {"not an Exception", "an exit", "an exit at once", "a kill"}
    assert len(seen) == step or (trouble in ends_worker and len(seen) < step)
    first = shift + 8 * len(seen)
    assert f"while waiting for the batch of positions {first}..{first + 7}" in "".join(raised.value.__notes__)
    if "hang" in trouble:
        assert "the worker that reads it, or an earlier batch, hangs. Raise timeout" in raised.value.__notes__[-1]
    if trouble == "a kill":
        assert "the system kills processes if it runs out of memory. Lower num_workers" in raised.value.__notes__[-1]
    assert no_children()
    del raised, batches
    for _ in range(200):  # a queue's thread ends after its process
        gc.collect()
        if not set(Path("/proc/self/fd").iterdir()) - files:
            break
        time.sleep(0.05)
    assert not set(Path("/proc/self/fd").iterdir()) - files


def test_an_error_names_the_positions_that_the_rank_awaited() -> None:
    order = EpochOrder(length=64, seed=1, shuffle=False)
    pipeline = Pipeline(order=order, sources=Trouble(two_arguments), batch_size=8, seed=1)
    with pytest.raises(RuntimeError, match="one and two") as raised:
        list(loader(pipeline, 1, 2, num_workers=1, multiprocessing_context="fork"))
    assert "while waiting for the batch of positions 12..15" in raised.value.__notes__


def test_a_batch_of_many_tensors_needs_few_file_descriptors() -> None:
    """In a process that may open 256 files; most systems allow 1,024."""
    script = """
import resource, torch
from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import loader
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
rows = [torch.arange(length % 30 + 1) for length in range(4000)]
pipeline = Pipeline(order=EpochOrder(length=4000, seed=1), sources=rows, batch_size=512, seed=1)
kept = [batch for _, batch in zip(range(12), loader(pipeline, num_workers=2, prefetch_factor=4))]
print(sum(len(batch) for batch in kept))
"""
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=100)
    assert found.stdout == "6144\n", found.stderr


def test_a_batch_that_can_not_be_sent_ends_its_worker(monkeypatch) -> None:
    """By default the queue's thread would drop the batch, and the main process would wait for it."""
    from bionemo.data.pipes.processes import reader

    monkeypatch.setattr(reader, "pack", lambda batch: threading.Lock())
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(make(collate=without_pid), num_workers=1, multiprocessing_context="fork"))
    assert no_children()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout": -1, "num_workers": 1}, ValueError, "timeout must be 0 or more seconds.*got timeout=-1"),
        ({"timeout": float("inf"), "num_workers": 1}, ValueError, "timeout must be 0 or more seconds.*got timeout=inf"),
        ({"timeout": 5}, ValueError, "0 without worker processes, got timeout=5 and num_workers=0"),
        ({"timeout": "5", "num_workers": 1}, TypeError, "timeout must be a number of seconds, got timeout='5'"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_timeouts_are_named(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        loader(make(), **options)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_pinned_if_there_is_a_gpu_and_torch_warns_if_there_is_none(num_workers: int) -> None:
    pipeline = make(20, sources=torch.arange(30), collate=None)
    context = "fork" if num_workers else None
    batches = loader(pipeline, num_workers=num_workers, multiprocessing_context=context, pin_memory=True)
    has_gpu = torch.cuda.is_available()
    with nullcontext() if has_gpu else pytest.warns(UserWarning, match="pin_memory.*no accelerator"):
        found = list(batches)
    batches.close()
    assert [batch.tolist() for batch in found] == [batch_at(pipeline, step).tolist() for step in range(3)]
    assert all(batch.is_pinned() == has_gpu for batch in found)


def test_an_iteration_is_over_when_the_loader_is_closed() -> None:
    for num_workers in (0, 1):
        batches = loader(make(), num_workers=num_workers, multiprocessing_context="fork" if num_workers else None)
        iterator = iter(batches)
        next(iterator)
        batches.close()
        with pytest.raises(RuntimeError, match="this iteration is over"):
            next(iterator)
        assert without_pid(next(iter(batches))) == without_pid(batch_at(make(), 1))
        batches.close()


def test_masked_batches_far_ahead_are_those_of_the_pipeline() -> None:
    pipeline = make(None, sources=torch.arange(30 * 12).reshape(30, 12), collate=torch.stack, batch_transform=masked)
    for num_workers in (0, 1):
        batches = loader(
            pipeline,
            start=8 * 10**9,
            batches_per_epoch=10,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,
        )
        for step, batch in enumerate(batches, start=10**9):
            expected = batch_at(pipeline, step)
            assert all(torch.equal(part, other) for part, other in zip(batch, expected, strict=True))
        assert batches.consumed_samples == 8 * (10**9 + 10)
        batches.close()
