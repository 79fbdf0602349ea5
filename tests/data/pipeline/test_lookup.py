"""Lookup for debugging: describe_batch, find_sample, first_divergence, and the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

from bionemo.data import (
    EpochOrder,
    MixtureOrder,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    WeightedOrder,
    batch_at,
    describe_batch,
    external_arrays,
    find_sample,
    first_divergence,
    index_at,
    num_batches,
    pipeline_spec,
)
from bionemo.data.__main__ import main
from bionemo.data.pipes import loader

FIRST, SECOND = EpochOrder(length=30, seed=1), EpochOrder(length=20, seed=2)
ORDER = MixtureOrder(orders=(FIRST, SECOND), weights=(2, 1), num_samples=100)
PIPELINE = Pipeline(order=ORDER, sources=(range(30), range(100, 120)), batch_size=8, seed=7)


@pytest.mark.parametrize("world_size", [1, 3, 11])
def test_describe_batch_lists_what_a_batch_reads_and_find_sample_inverts_it(world_size: int) -> None:
    for step in range(num_batches(PIPELINE)):
        for rank in range(world_size):
            rows = describe_batch(PIPELINE, step, rank, world_size)
            assert [row.idx + 100 * row.source for row in rows] == batch_at(PIPELINE, step, rank, world_size)
            for slot, row in enumerate(rows):
                assert row[1:] == tuple(index_at(ORDER, row.position))
                assert find_sample(PIPELINE, SampleIndex(*row[1:]), world_size=world_size) == (
                    row.position,
                    step,
                    rank,
                    slot,
                )


def test_a_sample_that_is_dropped_or_has_no_position_is_named() -> None:
    dropping = attrs.evolve(PIPELINE, drop_last=True)
    with pytest.raises(IndexError, match="got SampleIndex.* at position 99, in a dropped batch"):
        find_sample(dropping, index_at(ORDER, 99))
    with pytest.raises(TypeError, match="ResampleOrder has no inverse"):
        find_sample(
            Pipeline(order=ResampleOrder(length=3, seed=1), sources="abc", batch_size=2, seed=1), SampleIndex(0, 0, 0)
        )
    with pytest.raises(IndexError, match=r"step must be in 0\.\.12, got step=13"):
        describe_batch(PIPELINE, 13)


def test_the_first_difference_is_found_in_any_chunk() -> None:
    endless = attrs.evolve(ORDER, num_samples=None)
    for position in (1, 65_535, 65_536, 200_000):
        changed = attrs.evolve(endless, changes=((position, (1, 2)),))
        found = first_divergence(endless, changed)
        assert position <= found < position + 3
        assert index_at(endless, found) != index_at(changed, found)
        assert index_at(endless, found - 1) == index_at(changed, found - 1)
    assert first_divergence(endless, ORDER) == first_divergence(ORDER, endless) == 100
    assert first_divergence(ORDER, ORDER) is None
    assert first_divergence(endless, attrs.evolve(endless, changes=((1000, (1, 2)),)), limit=1000) is None
    assert first_divergence(endless, ORDER, limit=50) is None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(pipeline_spec(PIPELINE)))
    return path


def test_the_command_line_prints_text(file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["explain", str(file), "--step", "1", "--rank", "1", "--world-size", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["position", "source", "epoch", "idx"]
    assert [tuple(map(int, line.split())) for line in lines[1:]] == [
        tuple(row) for row in describe_batch(PIPELINE, 1, 1, 2)
    ]
    source, epoch, idx = index_at(ORDER, 77)
    arguments = ["--sample", str(idx), "--source", str(source), "--epoch", str(epoch), "--world-size", "4"]
    assert main(["where", str(file), *arguments]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed == {"position": "77", "step": "9", "rank": "2", "slot": "1"}


def test_the_command_line_prints_json(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["explain", str(file), "--step", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row._asdict() for row in describe_batch(PIPELINE, 12)]
    other = tmp_path / "state.json"  # a loader's state also holds the record
    changed = attrs.evolve(PIPELINE, order=attrs.evolve(ORDER, changes=((50, (1, 1)),)), seed=8)
    other.write_text(json.dumps(loader(changed).state_dict()))
    assert main(["diff", str(file), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"]["seed"] == [7, 8]
    assert found["position"] == first_divergence(ORDER, changed.order)
    assert main(["diff", str(file), str(file)]) == 0
    assert capsys.readouterr().out == "no field differs\nthe orders agree at all positions below 10,000,000\n"


def test_large_arrays_are_read_from_their_own_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    order = WeightedOrder(weights=np.arange(1.0, 101), seed=3)
    pipeline = Pipeline(order=order, sources=range(100), batch_size=4, seed=1)
    (tmp_path / "pipeline.json").write_text(json.dumps(pipeline_spec(pipeline)))
    np.savez(tmp_path / "arrays.npz", **external_arrays(order))
    arguments = ["explain", str(tmp_path / "pipeline.json"), "--step", "5", "--json"]
    assert main([*arguments, "--arrays", str(tmp_path / "arrays.npz")]) == 0
    assert [row["idx"] for row in json.loads(capsys.readouterr().out)] == batch_at(pipeline, 5)
    assert main(arguments) == 2
    assert "arrays must hold the array of sha256=" in capsys.readouterr().err


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["--step", "1"], "can't read .*: No such file"),
        ("", ["--step", "1"], "can't read .*pipeline.json: text must be JSON"),
        ("[]", ["--step", "1"], "must hold the record of a pipeline, with algorithm, order"),
        ('{"order": 3}', ["--step", "1"], "must hold the record of a pipeline"),
        ({"algorithm": 1}, ["--step", "1"], "record must be of algorithm version 2, got version 1"),
        ({"batch_size": 0}, ["--step", "1"], "got batch_size=0"),
        ({"batch_size": "x"}, ["--step", "1"], "batch_size must be an integer"),
        ({"lengths": [30]}, ["--step", "1"], "sources must be one per source"),
        ({"lengths": 3}, ["--step", "1"], "lengths must be a list, got 3"),
        ({"order": "x"}, ["--step", "1"], "record must hold an order, got 'x'"),
        ({}, ["--step", "13"], r"step must be in 0\.\.12, got step=13"),
        ({}, ["--step", "-1"], "got step=-1"),
        ("[" * 100_000, ["--step", "1"], "text must be JSON, got .*it is nested too deeply"),
        ({"lengths": [10**30, 20]}, ["--step", "1"], "lengths must be in 0.*got lengths=1000000"),
        ({}, ["--step", "1", "--arrays", "/dev/null"], "/dev/null must be a file of arrays, made by numpy.savez"),
        ({}, ["--step", str(10**30)], r"step must be in 0\.\.12, got step=1000000"),
        ({"drop_last": "x"}, ["--step", "1"], "drop_last"),
        ({}, ["--step", "1", "--rank", "2"], "got rank=2"),
    ],
)
def test_bad_input_gets_an_error_of_one_line(
    content, arguments, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "pipeline.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(pipeline_spec(PIPELINE) | content))
    assert main(["explain", str(path), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert re.search(message, captured.err)


def test_a_reader_that_stops_early_is_not_an_error(file: Path) -> None:
    command = f"{sys.executable} -m bionemo.data explain {file} --step 1 | true"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_package_runs_as_a_module(file: Path) -> None:
    command = [sys.executable, "-m", "bionemo.data", "where", str(file), "--sample", "999"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == "python -m bionemo.data where: idx must be in 0..29, got idx=999.\n"
    assert subprocess.run([*command[:3], "--help"], capture_output=True, text=True).returncode == 0
