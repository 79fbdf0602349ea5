"""Lookup for debugging: describe_batch, find_sample, first_divergence, and the command line."""

import datetime as dt
import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer

from bionemo.adapters.lightning import PipelineDataModule
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
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    (digest,) = external_arrays(order)
    assert f"the array of sha256={digest}, which {tmp_path / 'pipeline.json'} names but doesn't hold" in error
    assert "numpy.savez('arrays.npz', **external_arrays(pipeline.order)); then pass --arrays arrays.npz" in error
    np.savez(tmp_path / "others.npz", **external_arrays(WeightedOrder(weights=np.arange(2.0, 102), seed=3)))
    assert main([*arguments, "--arrays", str(tmp_path / "others.npz")]) == 2
    assert f"the array of sha256={digest}, which" in capsys.readouterr().err


def trained(folder: Path, pipeline: Pipeline, **options) -> Path:
    """Return the checkpoint of a short run under Lightning."""
    data = PipelineDataModule(train=pipeline, batches_per_epoch=4)
    plain = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(max_steps=6, enable_checkpointing=False, default_root_dir=folder, **plain | options)
    trainer.fit(Mean(), datamodule=data)
    trainer.save_checkpoint(folder / "run.ckpt")
    return folder / "run.ckpt"


class Mean(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch):
        return (self.weight - torch.as_tensor(batch).float().mean()) ** 2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")  # Lightning's about the number of workers
def test_a_checkpoint_of_lightning_is_read_where_its_record_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = torch.arange(20)
    pipeline = Pipeline(order=EpochOrder(length=20, seed=1), sources=rows, batch_size=8, seed=7, collate=torch.stack)
    checkpoint = trained(tmp_path, pipeline)
    spec = tmp_path / "pipeline.json"
    spec.write_text(json.dumps(pipeline_spec(pipeline)))
    for command in (
        ["explain", "--step", "5"],
        ["where", "--sample", "3", "--epoch", "1"],
        ["diff", str(spec), "--limit", "1000"],
    ):
        printed = []
        for file in (checkpoint, spec):
            assert main([command[0], str(file), *command[1:]]) == 0
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1]
    assert "no field differs" in printed[0]


def test_a_file_of_torch_save_is_searched_for_a_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "state.pt"
    weights = {"weight": torch.zeros(1000)}
    torch.save({"model": weights, "nested": [{"loader": loader(PIPELINE).state_dict()}]}, path)
    assert main(["explain", str(path), "--step", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row._asdict() for row in describe_batch(PIPELINE, 1)]
    endless: list = [weights]
    endless.append(endless)
    for content, message in (
        ({"model": weights}, "must hold the record of a pipeline"),
        (endless, "must hold the record of a pipeline"),
        (
            {"date": dt.date(2026, 1, 1)},
            "can't read .*it holds objects that are neither tensors nor plain values, or is damaged",
        ),
    ):
        torch.save(content, path)
        assert main(["explain", str(path), "--step", "1"]) == 2
        assert re.search(message, capsys.readouterr().err)
    path.write_bytes(path.read_bytes()[:200])
    assert main(["explain", str(path), "--step", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "can't read" in error


@pytest.mark.parametrize(("length", "batch_size"), [(30, 8), (30, 10), (3, 8)])
@pytest.mark.parametrize("epoch", [0, 1, 5, 10**9])
def test_a_step_is_counted_from_the_start_of_an_epoch(
    length: int, batch_size: int, epoch: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    order = EpochOrder(length=length, seed=1)
    pipeline = Pipeline(order=order, sources=range(length), batch_size=batch_size, seed=7)
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(pipeline_spec(pipeline)))
    for step in (0, 2):
        assert main(["explain", str(path), "--epoch", str(epoch), "--step", str(step), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        whole = find_sample(pipeline, index_at(order, epoch * length)).step + step
        assert rows == [row._asdict() for row in describe_batch(pipeline, whole)]
        assert step or epoch * length in {row["position"] for row in rows}


def test_an_order_without_epochs_takes_no_epoch(file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["explain", str(file), "--epoch", "1", "--step", "0"]) == 2
    assert "--epoch must be left out for an order without epochs of one length" in capsys.readouterr().err


def hostile() -> dict[str, str | bytes | dict]:
    """Return contents of files that no command must take long for, or much memory, by name."""
    deep: dict = {"length": 5, "num_samples": None, "seed": 0, "shuffle": True, "type": "EpochOrder"}
    for seed in range(1, 60):
        leaf = {"length": 5, "num_samples": None, "seed": seed, "shuffle": True, "type": "EpochOrder"}
        deep = {"orders": [deep, leaf], "weights": [1, 1], "num_samples": None, "changes": [], "type": "MixtureOrder"}
    epochs = pipeline_spec(PIPELINE)["order"]["orders"][0]
    claimed = {"type": "FrozenArray", "dtype": "int64", "shape": [10**12], "sha256": "0" * 64}
    window = {"order": epochs, "lengths": [claimed], "window_size": 2**62, "batch_size": 2, "seed": 1}
    return {
        "deep lists": "[" * 10**6,
        "deep mappings": '{"order":' * 10**5,
        "deep order": {"order": deep, "lengths": [5] * 60},
        "deep order field": {"order": {"type": "EpochOrder", "length": json.loads("[" * 400 + "]" * 400)}},
        "no text": b"\xff\xfe\x00" * 1000,
        "zeros": b"\0" * 10**6,
        "large": "[" + "1," * 10**7 + "1]",
        "many lengths": {"lengths": [30] * 10**5},
        "long lengths": {"lengths": [10**4000, 20]},
        "a long word": {"order": "x" * 10**6},
        "a long key": {"order": {"x" * 10**6: 1}},
        "arrays claimed": {"order": window | {"type": "LengthGroupedOrder"}, "lengths": [30]},
        "arrays without a digest": {"order": {"type": "FrozenArray", "sha256": [[]]}},
        "values claimed": {"order": {"type": "FrozenArray", "values": [1], "shape": [10**12], "dtype": "int64"}},
        "unknown dtype": {"order": {"type": "FrozenArray", "values": [1], "shape": [1], "dtype": "O" * 10**5}},
        "an unknown type": {"order": {"type": ["EpochOrder"] * 10**4}},
        "a list of fields": {"order": [1] * 10**4},
        "an archive": b"PK\x03\x04" + b"\0" * 10**5,
    }


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("name", hostile())
def test_hostile_files_get_one_short_line_in_little_memory(name: str, tmp_path: Path, capsys) -> None:
    content = hostile()[name]
    if isinstance(content, dict):
        content = json.dumps(pipeline_spec(PIPELINE) | content)
    path = tmp_path / "pipeline.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in (
        ["explain", str(path), "--step", "0"],
        ["where", str(path), "--sample", "0"],
        ["diff", *[str(path)] * 2],
    ):
        tracemalloc.start()
        code = main(command)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        printed = capsys.readouterr()
        assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
        assert len(printed.err) < 600
        assert peak < 3e8


def test_a_batch_too_large_to_be_listed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "pipeline.json"
    pipeline = Pipeline(order=EpochOrder(length=30, seed=1), sources=range(30), batch_size=10**12, seed=7)
    path.write_text(json.dumps(pipeline_spec(pipeline)))
    assert main(["explain", str(path), "--step", "0"]) == 2
    assert "batch_size must be at most 1000000 per rank to be listed, got 10000" in capsys.readouterr().err
    assert main(["explain", str(path), "--step", "0", "--world-size", str(10**11)]) == 0
    assert main(["where", str(path), "--sample", "3"]) == 0


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["--step", "1"], "can't read .*: No such file"),
        ("", ["--step", "1"], "can't read .*pipeline.json: text must be JSON"),
        ("[]", ["--step", "1"], "must hold the record of a pipeline, with algorithm, order"),
        ('{"order": 3}', ["--step", "1"], "must hold the record of a pipeline"),
        ({"algorithm": 1}, ["--step", "1"], "record must be of algorithm version 3, got version 1"),
        ({"batch_size": 0}, ["--step", "1"], "got batch_size=0"),
        ({"batch_size": "x"}, ["--step", "1"], "batch_size must be an integer"),
        ({"lengths": [30]}, ["--step", "1"], r"lengths must be a list of 2, one per source of the order, got \[30\]"),
        ({"lengths": 3}, ["--step", "1"], "lengths must be a list of 2, one per source of the order, got 3"),
        ({"lengths": [30, 0]}, ["--step", "1"], r"at least one sample each, got data sets of lengths \(30, 0\)"),
        ({"batch_size": True}, ["--step", "1"], "batch_size must be an integer"),
        ({}, ["--step", "1", "--world-size", "0"], "world_size must be in 1.*got world_size=0"),
        ({}, ["--step", "1", "--epoch", "-1"], "--epoch must be left out"),
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
