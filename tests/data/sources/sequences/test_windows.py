"""Windows of long records: they cover each record, and each position is found in them."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data import EpochOrder, Pipeline, Source, batch_at, random_crop, random_reverse_complement, sample_at
from bionemo.data.sources import Windows, ragged_rows, windows

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=6)
CUTS = {"lengths": LENGTHS, "size": st.integers(1, 12), "stride": st.integers(1, 15)}


@given(**CUTS, rest=st.sampled_from(["short", "drop", "shift"]))
def test_a_window_is_among_those_at_a_position_if_it_holds_it(lengths, size, stride, rest) -> None:
    cut = Windows(lengths=lengths, size=size, stride=stride, rest=rest)
    found = [cut.window_at(number) for number in range(len(cut))]
    for record, length in enumerate(lengths):
        own = [number for number, window in enumerate(found) if window.record == record]
        assert own == list(range(own[0], own[-1] + 1)) if own else True
        for position in range(length):
            holding = [number for number in own if found[number].start <= position < found[number].stop]
            assert list(cut.windows_at(record, position)) == holding
            assert rest == "drop" or stride > size or holding


@given(**CUTS, rest=st.sampled_from(["short", "drop", "shift"]))
def test_windows_lie_within_records_and_have_the_size_that_rest_promises(lengths, size, stride, rest) -> None:
    cut = Windows(lengths=lengths, size=size, stride=stride, rest=rest)
    for window in map(cut.window_at, range(len(cut))):
        length = lengths[window.record]
        assert 0 <= window.start < window.stop <= length
        assert window.is_first == (window.start == 0)
        assert window.is_last == (window.stop == length)
        is_full = window.stop - window.start == size
        assert is_full or (rest == "short" and window.is_last) or (rest == "shift" and length < size)


@given(**CUTS)
def test_many_windows_are_those_of_their_numbers(lengths, size, stride) -> None:
    cut = Windows(lengths=lengths, size=size, stride=stride)
    numbers = np.arange(len(cut))[::-1]
    for many, one in zip(zip(*cut.window_at(numbers), strict=True), map(cut.window_at, numbers.tolist()), strict=True):
        assert tuple(many) == one


def test_windows_of_rows_are_a_data_set() -> None:
    genome = ragged_rows([list(range(20)), [], list(range(50, 57))], dtype=np.int64)
    rows = windows(genome, 8, stride=4, rest="shift")
    assert [(row["record"], row["start"], row["ids"].tolist()) for row in rows] == [
        (0, 0, list(range(8))),
        (0, 4, list(range(4, 12))),
        (0, 8, list(range(8, 16))),
        (0, 12, list(range(12, 20))),
        (2, 0, list(range(50, 57))),
    ]
    assert [(row["is_first"], row["is_last"]) for row in rows] == [
        (True, False),
        (False, False),
        (False, False),
        (False, True),
        (True, True),
    ]
    assert rows.fingerprint != windows(genome, 8, stride=4).fingerprint


def bases(window: dict) -> torch.Tensor:
    return torch.from_numpy(window["ids"])


def jittered(window: dict, *, generator: torch.Generator) -> torch.Tensor:
    cropped = random_crop(bases(window), length=64, generator=generator)
    return random_reverse_complement(cropped, complement=[3, 2, 1, 0], generator=generator)


def test_strand_and_jitter_come_from_the_samples_generator() -> None:
    genome = ragged_rows([np.random.default_rng(1).integers(0, 4, 1000)], dtype=np.uint8)
    rows = windows(genome, 96, stride=64, rest="shift")
    order = EpochOrder(length=len(rows), seed=1)
    pipeline = Pipeline(
        order=order, sources=Source(rows, transform=jittered), batch_size=4, seed=2, collate=torch.stack
    )
    assert torch.equal(batch_at(pipeline, 3), batch_at(pipeline, 3))
    text = bytes(genome[0].tolist())
    both = text, bytes(3 - base for base in text[::-1])
    samples = [bytes(sample_at(pipeline, position).tolist()) for position in range(200)]
    on_strand = [sample in both[0] for sample in samples]
    assert all(sample in both[0] or sample in both[1] for sample in samples)
    assert 60 < sum(on_strand) < 140
    assert len({both[0].find(sample) % 64 for sample, is_on in zip(samples, on_strand, strict=True) if is_on}) > 16


def test_many_windows_take_a_second_and_100_mb() -> None:
    script = """
        import resource, time
        import numpy as np
        from bionemo.data.sources import Windows
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cut = Windows(lengths=np.full(10**6, 8192 * 100, dtype=np.int64), size=8192, stride=4096)
        assert len(cut) > 1.9 * 10**8
        assert cut.window_at(len(cut) - 1).record == 10**6 - 1
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 0}, ValueError, "size"),
        ({"stride": 0}, ValueError, "stride"),
        ({"lengths": [-1]}, ValueError, "lengths must be 0 or more"),
        ({"lengths": [[1]]}, ValueError, "lengths must be 0 or more, in one axis"),
        ({"lengths": [0.5]}, TypeError, "lengths"),
        ({"rest": "long"}, ValueError, "rest"),
    ],
)
def test_wrong_arguments(change: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Windows(**{"lengths": [9, 3], "size": 4, **change})


def test_wrong_numbers_and_positions() -> None:
    cut = Windows(lengths=[9, 3], size=4)
    for number in (-1, len(cut)):
        with pytest.raises(IndexError, match=f"number.*{number}"):
            cut.window_at(number)
    for place in ((2, 0), (1, 3), (0, -1)):
        with pytest.raises(IndexError, match="record|position"):
            cut.windows_at(*place)


@pytest.mark.usefixtures("no_type_checks")
def test_a_data_set_without_spans_is_refused() -> None:
    with pytest.raises(TypeError, match=r"rows must have lengths and read_spans.*got \[1, 2\]"):
        windows([1, 2], 1)
