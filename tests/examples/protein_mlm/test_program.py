"""The program, as a user calls it."""

import csv
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import termios
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import torch

from bionemo.adapters.lightning import AtomicCheckpointIO
from bionemo.examples.protein_mlm.program import main
from bionemo.examples.protein_mlm.run_folder import locked
from tests.adapters.test_lightning_checkpoint import limited_file_size

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "bionemo.examples.protein_mlm"]
OPTIONS = {"cwd": ROOT, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
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


def refuse_later(capsys, *arguments: str | Path) -> str:
    """Return the one-line message with which the program ends after it began."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("protein_mlm: ")
    return said


def test_a_run_on_packed_steps_resumes_as_one(fasta: Path, tmp_path: Path) -> None:
    for folder, steps in (("whole", "4"), ("cut", "2")):
        options = ["--packed", "--steps", steps, "--max-length", "16", "--batch-size", "4"]
        assert main(["--fasta", str(fasta), "--out", str(tmp_path / folder), *options]) == 0
    assert main(["--resume", str(tmp_path / "cut"), "--steps", "4"]) == 0
    one, two = (torch.load(tmp_path / folder / "checkpoint.ckpt")["state_dict"] for folder in ("whole", "cut"))
    assert all(torch.equal(part, two[name]) for name, part in one.items())
    assert json.loads((tmp_path / "cut" / "pipeline.json").read_text())["pipeline"]["order"]["type"] == "PackedOrder"


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
    assert "not a checkpoint of a run: it holds no step. Restore" in refuse(capsys, "--resume", folder)


def test_a_sound_checkpoint_with_other_objects_is_not_called_damaged(finished: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "checkpoint.ckpt"
    AtomicCheckpointIO().save_checkpoint(torch.load(path, weights_only=True) | {"at": dt.date(2026, 1, 1)}, path)
    said = refuse(capsys, "--resume", folder)
    assert f"{path}: the checkpoint is whole, but holds datetime.date" in said
    assert "Restore a good copy, or delete it to restart from step 0." in said


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


@pytest.mark.parametrize("option", ["--fasta", "--out", "--resume"])
def test_a_url_is_refused_and_makes_no_folder(tmp_path: Path, capsys, monkeypatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"argument {option}: must be a local path, got 's3://a/b'" in refuse(capsys, option, "s3://a/b")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_the_run_resumes(fasta: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    with limited_file_size(100_000):
        said = refuse_later(capsys, "--fasta", fasta, "--out", folder, *QUICK)
    assert "File too large after" in said
    assert f"Then resume from the last checkpoint with --resume {folder}." in said
    assert main(["--resume", str(folder)]) == 0


@pytest.mark.slow
def test_only_one_process_trains_in_a_folder(fasta: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "run"
    arguments = ["--fasta", str(fasta), "--out", str(folder), *QUICK[2:], "--steps", "1000000"]
    first = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, **OPTIONS)
    assert "12 proteins" in first.stdout.readline()
    assert f"{folder}: another process trains in this folder. Wait for its end" in refuse(capsys, "--resume", folder)
    assert "already holds a run" in refuse(capsys, "--fasta", fasta, "--out", folder, *QUICK)
    first.kill()
    first.communicate()
    assert (folder / "run.lock").exists()
    assert main(["--resume", str(folder), "--steps", "1"]) == 0
    assert not (folder / "run.lock").exists()


def test_two_runs_that_start_in_one_folder_are_told_apart(fasta: Path, tmp_path: Path, capsys) -> None:
    tmp_path.joinpath("run").mkdir()
    with locked(tmp_path / "run"):
        assert "another process trains in" in refuse(capsys, "--fasta", fasta, "--out", tmp_path / "run", *QUICK)
    assert main(["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK]) == 0


def test_a_log_gets_a_line_per_evaluation_and_no_progress_bar(fasta: Path, tmp_path: Path) -> None:
    arguments = ["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK[2:], "--steps", "60"]
    run = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, **OPTIONS)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("step ")] == [
        f"step {step} of 60" for step in (50, 60)
    ]
    assert re.fullmatch(r"step 50 of 60: train loss \d\.\d{3}, held-out loss \d\.\d{3}", lines[1])
    assert "\r" not in run.stdout + run.stderr
    assert len(run.stdout) < 1000


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar(fasta: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    arguments = ["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK]
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=theirs, stderr=subprocess.STDOUT, **OPTIONS)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the terminal is closed when the process ends
        while content := os.read(ours, 4096):
            shown += content
    os.close(ours)
    assert process.wait() == 0, shown
    assert b"Epoch 0" in shown
    assert b"step 3 of 3" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("closes", ["stdout", "both"])
def test_a_closed_pipe_does_not_end_the_run(fasta: Path, tmp_path: Path, closes: str) -> None:
    arguments = ["--fasta", str(fasta), "--out", str(tmp_path / "run"), *QUICK[2:], "--steps", "60"]
    errors = {"stdout": tmp_path / "errors", "both": None}[closes]
    with errors.open("w") if errors else nullcontext(subprocess.STDOUT) as stderr:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=stderr, **OPTIONS)
    assert b"12 proteins" in process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    assert process.wait(timeout=120) == 0
    assert errors is None or errors.read_text() == ""
    assert torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=True)["global_step"] == 60
    assert (tmp_path / "run" / "loss.png").exists()


def test_a_process_reports_bad_input_in_one_line_with_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bionemo.examples.protein_mlm", "--fasta", str(tmp_path / "none.fasta")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert run.returncode == 2
    assert run.stdout == ""
    remedy = "Give the path of a protein FASTA, plain or gzipped."
    assert run.stderr == f"protein_mlm: {tmp_path / 'none.fasta'}: there is no such file. {remedy}\n"
    assert list(tmp_path.iterdir()) == []
