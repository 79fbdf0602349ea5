"""Contexts that seed global random states and restore them."""

import itertools
import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import pytest
import torch

from bionemo.core.random import (
    contexts,
    make_generator,
    random_global_context,
    random_numpy_context,
    random_python_context,
    random_torch_context,
)


def test_the_numpy_context_seeds_and_restores() -> None:
    np.random.seed(1)
    expected = np.random.rand(3)
    np.random.seed(1)
    with random_numpy_context(5):
        inside = np.random.rand(3)
    assert np.array_equal(np.random.rand(3), expected)
    np.random.seed(5)
    assert np.array_equal(np.random.rand(3), inside)


def test_the_numpy_context_takes_seeds_above_32_bits() -> None:
    drawn = set()
    for seed in (5, 5 + 2**32, 5 + 2**33, 2**63 - 1):
        with random_numpy_context(seed):
            drawn.add(float(np.random.rand()))
    assert len(drawn) == 4


def test_the_python_context_seeds_and_restores() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with random_python_context(5):
        inside = random.random()
    assert random.random() == expected
    random.seed(5)
    assert random.random() == inside


def test_the_torch_context_seeds_and_restores() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with random_torch_context(make_generator(5)):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with random_torch_context(make_generator(5)):
        assert torch.equal(torch.rand(3), inside)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_torch_context_covers_cuda() -> None:
    torch.cuda.manual_seed(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(1)
    drawn = []
    for _ in range(2):
        with random_torch_context(make_generator(5)):
            drawn.append(torch.rand(3, device="cuda"))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def states() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize(
    ("context", "draw"),
    [
        (lambda: random_torch_context(make_generator(3)), lambda: torch.rand(3)),
        (lambda: random_numpy_context(3), lambda: np.random.rand(3)),
        (lambda: random_python_context(3), random.random),
    ],
)
def test_states_are_restored_if_the_block_raises(context, draw) -> None:
    before = states()
    with pytest.raises(KeyError, match="inside"), context():
        draw()
        assert states() != before
        raise KeyError("inside")
    assert states() == before


@pytest.mark.parametrize("context", [random_numpy_context, random_python_context])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_bad_seed_changes_no_state(context, seed: int) -> None:
    before = states()
    with pytest.raises(ValueError, match=f"got seed={seed}"), context(seed):
        pass
    assert states() == before


CONTEXTS: dict[str, tuple[Callable[[int], AbstractContextManager[None]], Callable[[], float]]] = {
    "global": (random_global_context, lambda: float(torch.rand(())) + np.random.rand() + random.random()),
    "torch": (lambda seed: random_torch_context(make_generator(seed)), lambda: float(torch.rand(()))),
    "numpy": (random_numpy_context, np.random.rand),
    "python": (random_python_context, random.random),
}


def draw_slowly(name: str, seed: int) -> list[float]:
    context, draw = CONTEXTS[name]
    drawn = []
    with context(seed):
        for _ in range(3):
            drawn.append(draw())
            time.sleep(0.001)  # lets another thread run
    return drawn


@pytest.mark.parametrize("other", CONTEXTS)
@pytest.mark.parametrize("name", CONTEXTS)
def test_two_threads_draw_what_each_draws_alone_and_restore_the_states(name: str, other: str) -> None:
    before = states()
    calls = [(kind, seed) for seed in range(20) for kind in (name, other)]
    expected = [draw_slowly(*call) for call in calls]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda call: draw_slowly(*call), calls)) == expected
    assert states() == before


def test_contexts_can_be_nested_in_any_order() -> None:
    before = states()
    for names in itertools.permutations(CONTEXTS):
        with ExitStack() as stack:
            for name in [*names, *names]:
                stack.enter_context(CONTEXTS[name][0](3))
        assert states() == before


def draw_in_child(queue: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    queue.put([draw_slowly(name, 3) for name in CONTEXTS])


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("is_own", [False, True], ids=["in another thread", "in the thread that forks"])
@pytest.mark.parametrize("name", CONTEXTS)
def test_a_process_forked_within_a_context_can_enter_all(name: str, is_own: bool) -> None:
    expected = [draw_slowly(kind, 3) for kind in CONTEXTS]
    process_kind = multiprocessing.get_context("fork")
    entered, end, queue = threading.Event(), threading.Event(), process_kind.Queue()

    def hold() -> None:
        with CONTEXTS[name][0](5):
            entered.set()
            assert end.wait(60)

    def start() -> multiprocessing.process.BaseProcess:
        child = process_kind.Process(target=draw_in_child, args=(queue,))
        child.start()
        return child

    with ThreadPoolExecutor(1) as pool:
        if is_own:
            with CONTEXTS[name][0](5):
                child = start()
        else:
            holder = pool.submit(hold)
            assert entered.wait(60)
            child = start()
        assert queue.get(timeout=60) == expected
        child.join()
        end.set()
        if not is_own:
            holder.result()


def test_a_thread_that_waits_long_says_why(monkeypatch) -> None:
    monkeypatch.setattr(contexts, "_PATIENCE", 0.01)
    with random_torch_context(make_generator(5)), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(draw_slowly, "numpy", 3)
        with pytest.raises(RuntimeWarning, match="another thread is in a block that seeds them. If that block waits"):
            waiting.result()
    assert draw_slowly("numpy", 3)
