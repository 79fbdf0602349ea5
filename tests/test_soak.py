"""`make soak`: that it finds what grows, and a short run."""

import os

import attrs
import pytest
import torch

from benchmarks.soak import LIMITS, MARKS, Measured, endless, growth, make_loader, run, soak

FIRST = Measured(percent=1, memory=200.0, descriptors=9, threads=4, speed=1e6)


def test_what_grows_beyond_its_limit_is_found() -> None:
    assert growth([FIRST, attrs.evolve(FIRST, memory=FIRST.memory + LIMITS["memory"], descriptors=0)]) == []
    for name, limit in LIMITS.items():
        (found,) = growth([FIRST, attrs.evolve(FIRST, **{name: getattr(FIRST, name) + limit + 1})])
        assert found.startswith(f"{name} grew from")


def test_a_loader_that_leaks_is_found() -> None:
    kept, descriptors = [], []

    def leaking():
        for number, batch in enumerate(endless(make_loader(100, batch_size=10))):
            kept.append(torch.ones(400_000, dtype=torch.uint8))
            if number % 5 == 0:
                descriptors.append(os.open(os.devnull, os.O_RDONLY))
            yield batch

    try:
        rows = soak(leaking(), 100, batch_size=10)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert [row.percent for row in rows] == list(MARKS)
    memory, opened = growth(rows)
    assert memory.startswith("memory grew from")
    assert opened.startswith("descriptors grew from")


@pytest.mark.slow
def test_nothing_grows() -> None:
    tables, found = run(10**5, batch_size=100)
    assert found == []
    assert len(tables) == 3
