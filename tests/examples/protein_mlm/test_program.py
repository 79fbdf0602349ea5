"""The program, as a user calls it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bionemo.examples.protein_mlm.program import main

QUICK = ["--steps", "3", "--batch-size", "2", "--max-length", "16"]


def write_fasta(path: Path, records: int = 12) -> Path:
    path.write_text("".join(f">p\n{'MKVLAAGWYCDEFHINPQRST'[: 5 + n]}\n" for n in range(records)))
    return path


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    return write_fasta(tmp_path_factory.mktemp("proteins") / "few.fasta")


@pytest.fixture(scope="module")
def finished(fasta: Path, tmp_path_factory) -> Path:
    """Return the folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["--fasta", str(fasta), "--out", str(folder), *QUICK]) == 0
    return folder


def refuse(capsys, *arguments: str | Path) -> str:
    """Return the one-line message with which the program refuses the arguments."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("protein_mlm: ")
    assert err.count("\n") == 1
    return err


def test_a_run_writes_its_promised_files(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoint.ckpt",
        "loss.png",
        "metrics.csv",
        "pipeline.json",
        "run.json",
    ]
    record = json.loads((finished / "pipeline.json").read_text())
    assert record["pipeline"]["order"]["type"] == "EpochOrder"
    assert len(record["order_id"]) == 64
    rows = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert all(row["train_loss"] for row in rows[1:])
    assert rows[0]["held_out_loss"]
    assert rows[3]["held_out_loss"]
    assert (finished / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_ends_with_a_table(fasta: Path, tmp_path: Path, capsys) -> None:
    assert main(["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"12 proteins, 2 of them cropped to 16 tokens: {tmp_path / 'run'}\n")
    for name in (
        "steps  ",
        "tokens per second",
        "padding fraction",
        "train loss",
        "held-out loss",
        "unigram entropy",
        "order id",
    ):
        assert f"\n{name}" in out


@pytest.mark.parametrize("records", [1, 9])
def test_few_records_train_without_a_held_out_set(tmp_path: Path, capsys, records: int) -> None:
    fasta = write_fasta(tmp_path / "one.fasta", records)
    assert main(["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK]) == 0
    assert "no held-out set: fewer than 10 records" in capsys.readouterr().out


def test_a_finished_run_can_be_resumed_for_more_steps_or_for_none(finished: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    assert main(["--resume", str(folder)]) == 0
    assert "no steps left to train" in capsys.readouterr().out
    assert main(["--resume", str(folder), "--steps", "5"]) == 0
    assert torch.load(folder / "checkpoint.ckpt", weights_only=True)["global_step"] == 5
    assert main(["--resume", str(folder)]) == 0
    steps = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("steps"))
    assert steps.split() == ["steps", "5"]


def test_a_bad_fasta_creates_no_folder(tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad.fasta"
    bad.write_text(">a\nMK1\n")
    assert "record 1 ('a'): residue 3 is '1'" in refuse(capsys, "--fasta", bad, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: must be in 1"),
        (["--steps", "many"], "argument --steps: must be an integer, got 'many'"),
        (["--batch-size", "-3"], "argument --batch-size: must be in 1"),
        (["--batch-size", str(2**40)], "argument --batch-size: must be in 1..16384"),
        (["--max-length", "0"], "argument --max-length: must be in 1"),
        (["--seed", "-1"], "argument --seed: must be in 0"),
        (["--seed", str(2**63)], "argument --seed: must be in 0"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--out", "a", "--resume", "b"], "not allowed with argument"),
    ],
)
def test_bad_options_are_refused_by_name(capsys, arguments: list[str], message: str) -> None:
    assert message in refuse(capsys, *arguments)


@pytest.mark.parametrize("below", [False, True])
def test_an_output_path_that_cannot_be_a_folder_is_refused(fasta: Path, tmp_path: Path, capsys, below: bool) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    out = file / "run" if below else file
    assert "can't be used as a run folder" in refuse(capsys, "--fasta", fasta, "--out", out, *QUICK)
    assert file.read_text() == "precious"


def test_a_folder_that_holds_a_run_is_not_overwritten(finished: Path, fasta: Path, capsys) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert f"Resume it with --resume {finished}" in refuse(capsys, "--fasta", fasta, "--out", finished, *QUICK)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_a_folder_that_holds_the_checkpoint_of_another_run_is_not_overwritten(
    finished: Path, fasta: Path, tmp_path: Path, capsys
) -> None:
    shutil.copy(finished / "checkpoint.ckpt", tmp_path)
    assert "already holds a run" in refuse(capsys, "--fasta", fasta, "--out", tmp_path, *QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.ckpt"]


def test_without_out_each_run_gets_a_new_folder(fasta: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["--fasta", str(fasta), *QUICK]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["protein_mlm-1", "protein_mlm-2"]


def test_a_run_resumed_between_two_checkpoints_counts_its_tokens(finished: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    capsys.readouterr()
    assert main(["--resume", str(folder), "--steps", "8"]) == 0
    speed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tokens per second"))
    assert int(speed.split()[-1].replace(",", "")) > 0


def test_a_huge_max_length_costs_no_more_than_the_longest_row(fasta: Path, tmp_path: Path) -> None:
    assert main(["--fasta", str(fasta), "--out", str(tmp_path), *QUICK[:-1], "1000000000"]) == 0


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path, capsys) -> None:
    assert "there is no run to resume (no run.json)" in refuse(capsys, "--resume", tmp_path)
    assert "there is no run to resume" in refuse(capsys, "--resume", tmp_path / "none")


@pytest.mark.parametrize(
    ("option", "differences"),
    [
        (["--seed", "7"], ["seed (was 42, is 7)", "pipeline.order.seed (was "]),
        (["--batch-size", "3"], ["pipeline.batch_size (was 2, is 3)"]),
        (["--max-length", "15"], ["random_crop(length=16)', is '"]),
    ],
)
def test_resuming_with_other_settings_is_refused_with_the_fields_that_differ(
    finished: Path, capsys, option: list[str], differences: list[str]
) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    error = refuse(capsys, "--resume", finished, *option)
    for difference in differences:
        assert difference in error
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_resuming_with_another_fasta_is_refused(finished: Path, tmp_path: Path, capsys) -> None:
    more, other = write_fasta(tmp_path / "more.fasta", 13), write_fasta(tmp_path / "other.fasta")
    other.write_text(other.read_text().replace("MK", "MW"))
    assert "pipeline.order.length (was 11, is 12)" in refuse(capsys, "--resume", finished, "--fasta", more)
    assert "sequences (was '" in refuse(capsys, "--resume", finished, "--fasta", other)


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_truncated_checkpoint_is_refused(finished: Path, tmp_path: Path, capsys, keep: int) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "checkpoint.ckpt"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: the checkpoint is truncated or damaged" in refuse(capsys, "--resume", folder)


@pytest.mark.parametrize("content", [b"hi", b"garbage"])
def test_a_file_that_is_not_a_checkpoint_is_refused(finished: Path, tmp_path: Path, capsys, content: bytes) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "checkpoint.ckpt").write_bytes(content)
    assert "truncated or damaged" in refuse(capsys, "--resume", folder)
    torch.save({"weights": torch.ones(3)}, folder / "checkpoint.ckpt")
    assert "truncated or damaged" in refuse(capsys, "--resume", folder)


def test_a_checkpoint_with_a_flipped_byte_is_refused(finished: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    content = bytearray((folder / "checkpoint.ckpt").read_bytes())
    content[len(content) // 2] ^= 255
    (folder / "checkpoint.ckpt").write_bytes(content)
    assert "truncated or damaged" in refuse(capsys, "--resume", folder)


def test_an_unreadable_checkpoint_is_not_called_damaged(finished: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "checkpoint.ckpt").unlink()
    (folder / "checkpoint.ckpt").mkdir()
    assert "the checkpoint can't be read (Is a directory)" in refuse(capsys, "--resume", folder)


@pytest.mark.parametrize("name", ["metrics.csv", "pipeline.json", "loss.png"])
def test_a_file_of_the_user_is_not_overwritten(fasta: Path, tmp_path: Path, capsys, name: str) -> None:
    (tmp_path / name).write_text("precious")
    assert "or files with the names of a run's files" in refuse(capsys, "--fasta", fasta, "--out", tmp_path, *QUICK)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("name", ["run.json", "pipeline.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"steps": "many"}', b'{"colour": 3}', b'{"batch_size": 0}']
)
def test_a_damaged_run_folder_is_refused_by_name(
    finished: Path, tmp_path: Path, capsys, name: str, content: bytes
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / name).write_bytes(content)
    assert str(folder) in refuse(capsys, "--resume", folder)


def test_a_process_reports_bad_input_in_one_line_with_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bionemo.examples.protein_mlm", "--fasta", str(tmp_path / "none.fasta")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert run.returncode == 2
    assert run.stdout == ""
    remedy = "Give the path of a protein FASTA, plain or gzipped."
    assert run.stderr == f"protein_mlm: {tmp_path / 'none.fasta'}: there is no such file. {remedy}\n"
    assert list(tmp_path.iterdir()) == []
