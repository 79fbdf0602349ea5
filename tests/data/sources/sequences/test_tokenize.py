"""FASTA to tokens: the same rows for any size of blocks and number of processes, and nothing half-written."""

import gzip
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from Bio import bgzf
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data.sources import TokenFile, letter_table, tokenize_fasta
from bionemo.data.sources.__main__ import main
from bionemo.data.sources.sequences.tokenize import fasta_blocks

BYTES = np.arange(256, dtype=np.uint8)
TEXT = ">a first\nGATT\nACA\n>b\n>c\nTT\nG\n"


@given(
    letters=st.lists(st.text("ACGT", max_size=20), min_size=1, max_size=8),
    width=st.integers(1, 9),
    size=st.integers(1, 60),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_hold_whole_records_and_together_the_file(letters, width, size, end) -> None:
    records = [
        f">r{number} x{end}" + "".join(text[at : at + width] + end for at in range(0, len(text), width))
        for number, text in enumerate(letters)
    ]
    text = "".join(records).encode()
    blocks = list(fasta_blocks(io.BytesIO(text), name="x", size=size))
    assert b"".join(blocks) == text
    assert all(block.startswith(b">") for block in blocks)
    assert len(blocks) <= len(letters)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_rows_are_the_records_for_any_number_of_processes(tmp_path: Path, num_workers: int, monkeypatch) -> None:
    monkeypatch.setattr("bionemo.data.sources.sequences.tokenize._BLOCK", 64)
    letters = ["MKVL"[: number % 5] * (number % 7) for number in range(200)]
    path = tmp_path / "p.fasta"
    path.write_text("".join(f">r{number}\n{text}\n" for number, text in enumerate(letters)))
    rows = tokenize_fasta(path, tmp_path / "rows", table=BYTES, num_workers=num_workers)
    assert [bytes(row).decode() for row in rows] == letters


@pytest.mark.parametrize("pack", [bytes, gzip.compress, "bgzip"])
def test_compressed_files_are_read(tmp_path: Path, pack) -> None:
    path = tmp_path / "dna.fasta.gz"
    if pack == "bgzip":
        with bgzf.open(path, "wb") as file:
            file.write(TEXT.encode())
    else:
        path.write_bytes(pack(TEXT.encode()))
    table = letter_table("ACGT", first=4)
    rows = tokenize_fasta(path, tmp_path / "rows", table=table, before=[1], after=[2], num_workers=0)
    assert [row.tolist() for row in rows] == [[1, 6, 4, 7, 7, 4, 5, 4, 2], [1, 2], [1, 7, 7, 6, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MKV\n", "must be FASTA, whose records begin with '>', got b'MKV"),
        (gzip.compress(TEXT.encode() * 100)[:-20], "must be whole, but it was cut off or damaged"),
        (b">a\nACGN\n", "each letter must have a token, got 'N' at index 3 of a"),
    ],
    ids=["text", "cut", "letter"],  # gzip writes the time
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_wrong_files_leave_nothing(tmp_path: Path, content: bytes, message: str, num_workers: int) -> None:
    path = tmp_path / "in.fasta"
    path.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=message):
        tokenize_fasta(path, tmp_path / "out" / "rows", table=letter_table("ACGT"), num_workers=num_workers)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_writes_tokens_and_says_how_many(tmp_path: Path, capsys) -> None:
    path = tmp_path / "dna.fasta"
    path.write_text(TEXT)
    out = tmp_path / "new" / "folder"
    assert main(["tokenize", str(path), "--out", str(out), "--letters", "ACGT", "--first", "4", "--workers", "0"]) == 0
    assert capsys.readouterr().out == f"3 rows, 10 tokens of uint8 in {out}/tokens.bin\n"
    assert [row.tolist() for row in TokenFile(out / "tokens")] == [[6, 4, 7, 7, 4, 5, 4], [], [7, 7, 6]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.fasta"], "error: [Errno 2] No such file or directory. path must be an existing file: '"),
        (["dna.fasta", "--letters", "AC"], "each letter must have a token, got 'G' at index 0 of a"),
        (["dna.fasta", "--dtype", "int3"], "int3"),
        (["dna.fasta", "--letters", "ACGT", "--first", "300"], "300"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, capsys, monkeypatch, arguments, message) -> None:
    (tmp_path / "dna.fasta").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert main(["tokenize", *arguments, "--out", "out", "--workers", "0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_killed_command_leaves_no_files_and_no_processes(tmp_path: Path) -> None:
    path = tmp_path / "p.fasta"
    with path.open("w") as file:
        for number in range(400_000):
            file.write(f">r{number}\n{'MKVLAAGGWY' * 20}\n")
    command = [sys.executable, "-m", "bionemo.data.sources", "tokenize", str(path), "--out", str(tmp_path / "out")]
    with subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/.tokens.bin.*.partial")) or len(children := children_of(process)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not list(tmp_path.glob("out/tokens*"))
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


@pytest.mark.slow
def test_ctrl_c_ends_the_command_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.fasta"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(f">r{number}\n{'MKVLAAGGWY' * 20}\n")
    command = [sys.executable, "-m", "bionemo.data.sources", "tokenize", str(path), "--out", str(tmp_path / "out")]
    with subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(children_of(process)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)  # while the workers import torch
        os.killpg(process.pid, signal.SIGINT)  # to all processes, as a terminal sends it
        error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert error == "interrupted: nothing was written\n"
    assert list((tmp_path / "out").iterdir()) == []


def children_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Return the worker processes, and the one that watches their resources."""
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    script = """
import resource, sys
from bionemo.data.sources import tokenize_fasta
import numpy as np, Bio.SeqIO.FastaIO
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tokenize_fasta(sys.argv[1], sys.argv[2], table=np.arange(256, dtype=np.uint8), num_workers=0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    grown = []
    for size in (100_000, 600_000):
        path = tmp_path / "p.fasta"
        with path.open("w") as file:
            file.writelines(f">r{number}\n{'MKVLAAGGWY' * 20}\n" for number in range(size))
        command = [sys.executable, "-c", script, str(path), str(tmp_path / "rows")]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        grown.append(int(run.stdout))
    assert grown[1] < grown[0] + 30
