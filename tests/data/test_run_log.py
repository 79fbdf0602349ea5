"""Logs of runs: what is read back, what a killed process leaves, and what verification finds."""

import json
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

from bionemo.data import (
    EpochOrder,
    LoggedBatch,
    MixtureOrder,
    Pipeline,
    log_line,
    pipeline_spec,
    read_run_log,
    verify_run,
)
from bionemo.data.__main__ import main
from bionemo.data.pipes import loader

PIPELINE = Pipeline(order=EpochOrder(length=30, seed=7, num_samples=50), sources=range(30), batch_size=4, seed=1)


def lines_of(pipeline: Pipeline, ranks: int = 1, steps: range | None = None, **fields) -> list[str]:
    """Return the log of a run, written from what its loaders deliver."""
    parts = [list(loader(pipeline, rank, ranks)) for rank in range(ranks)]
    return [
        log_line(step=step, rank=rank, ids=batches[step], **fields)
        for step in (range(len(parts[0])) if steps is None else steps)
        for rank, batches in enumerate(parts)
    ]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.filterwarnings("ignore:a step of .* leaves ranks")
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_sound_run_is_verified(world_size: int, tmp_path: Path) -> None:
    log = read_run_log(write(tmp_path / "run.jsonl", lines_of(PIPELINE, world_size)))
    assert verify_run(log, PIPELINE)._asdict() == {
        "first_step": 0,
        "num_steps": 13,
        "num_samples": 50,
        "num_replaced": 0,
        "num_incomplete": 0,
    }
    assert verify_run([batch for batch in log if batch.step > 4], PIPELINE).num_samples == 30


def test_a_killed_and_resumed_run_on_other_ranks_is_verified(tmp_path: Path) -> None:
    killed = lines_of(PIPELINE, 2, range(8), world_size=2)
    resumed = lines_of(PIPELINE, 1, range(6, 13), world_size=1)
    path = write(tmp_path / "run.jsonl", [*killed, *resumed])
    assert verify_run(read_run_log(path), PIPELINE)._replace(num_replaced=0) == (0, 13, 50, 0, 0)
    for cut in (killed[-1][:18], killed[-1][:18] + "\n", killed[-1][:-1]):  # the kill cuts the last line
        path.write_text("\n".join(killed[:-1]) + "\n" + cut + "\n".join(resumed) + "\n")
        assert verify_run(read_run_log(path), PIPELINE).num_samples == 50


def test_last_steps_that_not_all_ranks_have_logged_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", lines_of(PIPELINE, 2, range(8))[:-1])
    assert verify_run(read_run_log(path), PIPELINE) == (0, 7, 28, 0, 1)
    path.write_text(path.read_text() + lines_of(PIPELINE, 2, range(8))[-1][:20])
    assert verify_run(read_run_log(path), PIPELINE) == (0, 7, 28, 0, 1)


LINES = lines_of(PIPELINE, 2)


def without(number: int) -> list[LoggedBatch]:
    log = [LoggedBatch(**json.loads(line)) for line in LINES]
    return [*log[:number], log[number]._replace(ids=log[number].ids[1:]), *log[number + 1 :]]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            without(21),
            "rank 1 must .* part of step 10, 2 from position 42 on, but the log has 1",
        ),
        (without(24), "rank 0 must .* of step 12, 1 from position 48 on, but the log has 0"),
        ([*without(0)[2:10], *without(0)[12:]], "step 5 must be in the log, which holds step 4 and step 6"),
        ([*without(0)[2:9], *without(0)[10:]], "rank 1 must have read step 4, but the log lacks it"),
        ([batch for batch in without(0) if batch.rank], "rank 0 must be in the log. Pass the logs of all ranks"),
        (
            [batch._replace(ids=batch.ids[::-1]) if batch.step == 3 else batch for batch in without(0)[2:]],
            r"rank 0 must have read sample \d+ at step 3, position 12, but the log has \d+",
        ),
    ],
    ids=["lost", "lost at the end", "a step", "a rank's step", "a rank", "another order"],
)
def test_what_a_run_has_not_read_is_found(log: list[LoggedBatch], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        verify_run(log, PIPELINE)


def test_the_batch_size_may_have_changed_if_that_is_said() -> None:
    small = attrs.evolve(PIPELINE, batch_size=3)
    log = [LoggedBatch(**json.loads(line)) for line in [*lines_of(small, 1, range(4)), *lines_of(PIPELINE, 1)[3:]]]
    log = [batch._replace(step=step) for step, batch in enumerate(log)]
    assert verify_run(log, PIPELINE, any_batch_size=True).num_samples == 50
    with pytest.raises(AssertionError, match="rank 0 must .* of step 0, 4 from position 0 on, but the log has 3"):
        verify_run(log, PIPELINE)
    with pytest.raises(AssertionError, match="the run must end at position 50, but rank 0 reads on at step 14"):
        verify_run([*log, LoggedBatch(14, 0, [3])], PIPELINE, any_batch_size=True)


@pytest.mark.filterwarnings("ignore:a step of .* leaves ranks")
def test_steps_after_those_of_a_resumed_run_are_left_out() -> None:
    """A killed run on two ranks had small batches, so more steps than the resumed one; and a kill between two ranks."""
    small = attrs.evolve(PIPELINE, batch_size=2)
    killed = [LoggedBatch(**json.loads(line)) for line in lines_of(small, 2, range(24), world_size=2)]
    resumed = [LoggedBatch(**json.loads(line)) for line in lines_of(PIPELINE, 1, world_size=1)[2:]]
    resumed = [batch._replace(step=batch.step + 2) for batch in resumed]  # 4 steps of 2, then steps of 4
    # Of rank 0, steps 4 to 23 were replaced; rank 1 has logged steps 15 to 23 alone.
    assert verify_run([*killed, *resumed], PIPELINE, any_batch_size=True) == (0, 15, 50, 20, 9)
    assert verify_run([*killed, *resumed[:3]], PIPELINE, any_batch_size=True).num_samples == 8 + 3 * 4
    two = [LoggedBatch(**json.loads(line)) for line in lines_of(PIPELINE, 2, world_size=2)]
    three = [LoggedBatch(**json.loads(line)) for line in lines_of(PIPELINE, 3, range(6, 8), world_size=3)]
    assert verify_run([*two, *three[:4]], PIPELINE).num_steps == 7  # rank 0 alone has logged step 7 again


def test_several_sources_are_told_apart() -> None:
    parts = [EpochOrder(length=9, seed=seed) for seed in (1, 2)]
    order = MixtureOrder(orders=parts, weights=(2, 1), num_samples=12)
    pipeline = Pipeline(order=order, sources=(range(9), range(9)), batch_size=6, seed=1)
    rows = [[*map(int, order.index_at(position))] for position in range(12)]
    assert verify_run([LoggedBatch(0, 0, rows[:6]), LoggedBatch(1, 0, rows[6:])], pipeline).num_samples == 12
    rows[7][1] += 1
    with pytest.raises(AssertionError, match=r"must have read sample \[\d, 0, \d\] at step 1, position 7, .* \[\d, 1,"):
        verify_run([LoggedBatch(0, 0, rows[:6]), LoggedBatch(1, 0, rows[6:])], pipeline)
    with pytest.raises(ValueError, match=r"ids must be \[source, epoch, idx\] per sample for 2 sources, got"):
        verify_run([LoggedBatch(0, 0, [1, 2, 3, 4, 5, 6])], pipeline)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", "line 1 of .* must be JSON, got 'hello'"),
        ('{"step": 1, "rank": 0}', "line 1 of .*: must hold step, rank and ids"),
        ('{"step": 1, "rank": "0", "ids": []}', "line 1 of .*: rank must be an integer"),
        ('{"step": 1, "rank": 0, "ids": ["a"]}', "line 1 of .*: ids must be"),
    ],
)
def test_other_lines_are_refused(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_run_log(write(tmp_path / "run.jsonl", [line]))


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't read .*missing.jsonl': No such file"):
        read_run_log(tmp_path / "missing.jsonl")
    with pytest.raises(ValueError, match="log must hold at least one batch"):
        verify_run([], PIPELINE)
    with pytest.raises(ValueError, match=r"rank must be in 0\.\.1, got rank=2"):
        log_line(step=0, rank=2, world_size=2, ids=[1])
    assert log_line(step=np.int8(3), rank=0, ids=np.array([4], dtype=np.uint8)) == '{"step": 3, "rank": 0, "ids": [4]}'


def test_the_command_verifies_files_of_several_ranks(tmp_path: Path, capsys) -> None:
    record = tmp_path / "pipeline.json"
    record.write_text(json.dumps(pipeline_spec(PIPELINE)))
    paths = [write(tmp_path / f"{rank}.jsonl", LINES[rank::2]) for rank in range(2)]
    command = ["verify-run", *map(str, paths), "--pipeline", str(record)]
    assert main(command) == 0
    assert capsys.readouterr().out == "steps 0 to 12 have read the pipeline's 50 samples, in its order\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_samples"] == 50
    write(paths[1], LINES[1:-2:2])
    assert main(command) == 0
    assert "left out: 1 last steps that not all ranks have logged" in capsys.readouterr().out
    write(paths[1], [*LINES[1:9:2], *LINES[11::2]])
    assert main(command) == 1
    assert (
        capsys.readouterr().err == "rank 1 must have read step 4, but the log lacks it. Pass the logs of all ranks.\n"
    )
    assert main(["verify-run", str(tmp_path / "none"), "--pipeline", str(record)]) == 2
    assert "can't read" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    record, log = tmp_path / "pipeline.json", write(tmp_path / "run.jsonl", lines_of(PIPELINE))
    record.write_text(json.dumps(pipeline_spec(PIPELINE)))
    command = [sys.executable, "-m", "bionemo.data", "verify-run", str(log), "--pipeline", str(record)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
