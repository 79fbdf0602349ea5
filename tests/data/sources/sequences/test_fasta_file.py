"""FASTA files: by number and name, plain and compressed, with an index that one process makes."""

import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO, bgzf
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data import EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from bionemo.data.sources import FastaFile, letter_table, ragged_rows, windows

RECORDS = {"first": "MKV", "second": "MKVLAAGGWY" * 20, "empty": "", "third|x": "acgtN"}


def fasta_of(records: dict[str, str], width: int = 60) -> str:
    lines = []
    for name, letters in records.items():
        lines.append(f">{name} a description\n")
        lines += [f"{letters[start : start + width]}\n" for start in range(0, len(letters), width)]
    return "".join(lines)


def write(path: Path, records: dict[str, str] = RECORDS) -> Path:
    path.write_text(fasta_of(records))
    return path


@pytest.mark.parametrize("suffix", [".fasta", ".fa.gz"])
def test_records_come_back_by_number_and_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"records{suffix}"
    with (bgzf.open if suffix.endswith("gz") else open)(path, "wb") as file:
        file.write(fasta_of(RECORDS).encode())
    records = FastaFile(path)
    assert records.names == tuple(RECORDS)
    assert [record.decode() for record in records] == list(RECORDS.values())
    assert records["second"].decode() == RECORDS["second"]
    assert records.number_of("third|x") == 3
    assert records.lengths.tolist() == [3, 200, 0, 5]
    spans = records.read_spans([3, 1, 1, 1], [1, 50, 0, 7], [3, 130, 200, 7])
    assert [span.decode() for span in spans] == ["cg", RECORDS["second"][50:130], RECORDS["second"], ""]
    assert [record.decode() for record in FastaFile(path)] == list(RECORDS.values())  # by the index that is there


@pytest.mark.parametrize("name", ["swissprot_2k.fasta"])
def test_real_proteins_are_those_that_biopython_reads(tmp_path: Path, name: str) -> None:
    import gzip
    from importlib.resources import files

    packed = files("bionemo.examples") / "data" / "swissprot_2k.fasta.gz"
    path = tmp_path / name
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    with path.open() as file:
        theirs = {record.id: str(record.seq) for record in SeqIO.parse(file, "fasta")}
    records = FastaFile(path)
    assert records.names == tuple(theirs)
    assert [record.decode() for record in records.__getitems__(range(len(records)))] == list(theirs.values())


def test_letters_become_tokens_by_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fasta", {"dna": "ACGTNacgt", "short": "TTT"})
    records = FastaFile(path, table=letter_table("ACGT", first=4, unknown=3))
    assert records[0].tolist() == [4, 5, 6, 7, 3, 3, 3, 3, 3]
    ignoring = FastaFile(path, table=letter_table("ACGT", first=4, unknown=3, ignore_case=True))
    assert ignoring[0].tolist() == [4, 5, 6, 7, 3, 4, 5, 6, 7]
    assert ragged_rows(ignoring, dtype=np.uint8)[1].tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match="each letter must have a token, got 'N' at index 4 of dna"):
        FastaFile(path, table=letter_table("ACGT"))[0]


def test_windows_of_a_genome(tmp_path: Path) -> None:
    genome = FastaFile(write(tmp_path / "genome.fa", {"chr1": "ACGT" * 50, "chr2": "GG"}))
    found = windows(genome, 64)
    assert [(row["record"], row["start"], len(row["ids"])) for row in found] == [
        (0, 0, 64),
        (0, 64, 64),
        (0, 128, 64),
        (0, 192, 8),
        (1, 0, 2),
    ]
    assert found[1]["ids"] == b"ACGT" * 16


LETTERS = st.text("ACDEFGHIKLMNPQRSTVWY", max_size=30)


@given(letters=st.lists(LETTERS, min_size=1, max_size=8), width=st.integers(1, 12), spans=st.data())
def test_any_records_and_spans_come_back(
    tmp_path_factory, letters: list[str], width: int, spans: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fasta") / "any.fasta"
    given = {f"record{number}": text for number, text in enumerate(letters)}
    path.write_text(fasta_of(given, width))
    records = FastaFile(path)
    assert [record.decode() for record in records] == letters
    record = spans.draw(st.integers(0, len(letters) - 1))
    stop = spans.draw(st.integers(0, len(letters[record])))
    start = spans.draw(st.integers(0, stop))
    assert records.read_spans([record], [start], [stop]) == [letters[record][start:stop].encode()]
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MKV\n", "FASTA"),
        ("", "FASTA"),
        (">a\nMKVL\nMK\nMKVL\n", "equally long"),
        (">a\nMK\n>a\nMKV\n", "different names"),
        (">a\n\n\n", "FASTA"),
        ("\x1f\x8b not text", "FASTA"),
    ],
)
def test_what_is_no_fasta_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.fasta"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"wrong.fasta must be FASTA with .*{message}|{message}"):
        FastaFile(path)
    assert [one.name for one in tmp_path.iterdir() if "partial" in one.name] == []


def test_gzip_is_refused_with_the_remedy(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "records.fasta.gz"
    path.write_bytes(gzip.compress(fasta_of(RECORDS).encode()))
    with pytest.raises(ValueError, match="plain or by bgzip: .*bgzip"):
        FastaFile(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="path must be an existing file: '.*none.fasta'"):
        FastaFile(tmp_path / "none.fasta")


def test_an_unknown_name_or_number_is_refused(tmp_path: Path) -> None:
    records = FastaFile(write(tmp_path / "a.fasta"))
    with pytest.raises(KeyError, match="name must be that of a record, got 'none'"):
        records["none"]
    with pytest.raises(IndexError, match="index.*4"):
        records[4]
    with pytest.raises(IndexError, match=r"starts and stops must be within a row, got 0..9 of row 0, which has 3"):
        records.read_spans([0], [0], [9])


def test_a_new_file_gets_a_new_index_and_the_old_data_set_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fasta")
    records = FastaFile(path)
    before, copy = records.fingerprint, pickle.loads(pickle.dumps(records))
    time.sleep(0.02)  # the resolution of file times
    write(path, {"other": "AC" * 90})
    for one in (records, copy):
        with pytest.raises(ValueError, match="which has changed"):
            one[0]
    assert FastaFile(path).names == ("other",)
    assert FastaFile(path).fingerprint != before


@pytest.mark.parametrize("letters", ["AC" * 90, "MKV"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_an_index_of_another_file_is_made_again(tmp_path: Path, letters: str, end: str) -> None:
    """A copy that keeps the times of an older file is older than the index."""
    path = write(tmp_path / "a.fasta")
    FastaFile(path)
    path.write_text(f">other\n{letters}{end}")
    os.utime(path, (1, 1))
    for _ in range(2):
        records = FastaFile(path)
        assert records.names == ("other",)
        assert records[0].decode() == letters


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_needs_an_index(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fasta")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match="samtools faidx"):
        FastaFile(path)


def test_several_processes_make_the_index_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fasta", {f"record{number}": "MKV" * 50 for number in range(5000)})
    script = f"from bionemo.data.sources import FastaFile; print(len(FastaFile({str(path)!r})[4999]))"
    started = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) for _ in range(3)
    ]
    assert [process.communicate()[0] for process in started] == [b"150\n"] * 3
    assert sorted(one.name for one in tmp_path.iterdir() if "lock" not in one.name) == ["a.fasta", "a.fasta.fai"]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_open_the_file_themselves(tmp_path: Path, context: str) -> None:
    records = FastaFile(write(tmp_path / "a.fasta", {f"r{number}": "MKVL" * number for number in range(40)}))
    assert len(pickle.dumps(records)) < 1000
    order = EpochOrder(length=40, seed=1, num_samples=40)
    pipeline = Pipeline(order=order, sources=records, batch_size=8, seed=2)
    batches = loader(pipeline, num_workers=2, multiprocessing_context=context, read_ahead=2)
    assert list(batches) == [batch_at(pipeline, step) for step in range(5)]
    batches.close()


def test_threads_open_the_file_themselves(tmp_path: Path) -> None:
    records = FastaFile(write(tmp_path / "a.fasta", {f"r{number}": "MKVL" * number for number in range(40)}))
    pipeline = Pipeline(order=EpochOrder(length=40, seed=1, num_samples=800), sources=records, batch_size=8, seed=2)
    assert list(loader(pipeline, num_threads=4)) == [batch_at(pipeline, step) for step in range(100)]


@pytest.mark.parametrize(
    ("letters", "options", "message"),
    [
        ("AA", {}, "letters must be different"),
        ("Aa", {"ignore_case": True}, "letters must be different"),
        ("Aé", {}, "letters must be different ones of ASCII"),
        ("AC", {"first": 2**15}, "first"),
        ("AC", {"unknown": -1}, "unknown"),
    ],
)
def test_wrong_tables(letters: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        letter_table(letters, **options)


@pytest.mark.parametrize("table", [np.zeros(255, dtype=np.int64), np.zeros(256)])
def test_a_table_has_256_integers(tmp_path: Path, table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="table must have an integer for each of the 256 bytes"):
        FastaFile(write(tmp_path / "a.fasta"), table=table)
