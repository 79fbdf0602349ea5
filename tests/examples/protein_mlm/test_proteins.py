"""Reading and encoding proteins."""

import gzip
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from bionemo.examples.protein_mlm.bad_input import BadInputError
from bionemo.examples.protein_mlm.proteins import VOCABULARY, Protein, embedded_proteins, encode, read_proteins


def write(folder: Path, content: str | bytes, name: str = "a.fasta") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (">a one\nMK\nV\n>b\nMW\n", [("a", "MKV"), ("b", "MW")]),
        (">a\r\nMK\r\nV\r\n", [("a", "MKV")]),
        (">a\nmkv*\n", [("a", "MKV")]),
        (">a\nBZXUOJ", [("a", "BZXUOJ")]),
        ("\n\n>a\n\nMK\n\n", [("a", "MK")]),
        ("\ufeff>a\nMK\n", [("a", "MK")]),
        (">a\nM K V\n", [("a", "MKV")]),
        (">\nMK\n", [("", "MK")]),
        (">a\nMK\n>a\nMW\n", [("a", "MK"), ("a", "MW")]),
        (">höhle Ω\nMK\n", [("höhle", "MK")]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_variants_of_the_fasta_format_are_accepted(tmp_path: Path, content: str, expected: list, zipped: bool) -> None:
    path = write(tmp_path, gzip.compress(content.encode()), "a.fasta.gz") if zipped else write(tmp_path, content)
    assert read_proteins(path) == tuple(Protein(*record) for record in expected)


def test_gzip_is_recognized_by_its_content_too(tmp_path: Path) -> None:
    assert len(read_proteins(write(tmp_path, gzip.compress(b">a\nMK\n", mtime=0), "a.fasta"))) == 1


NOISE = bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8))
ZIPPED = gzip.compress(  # without a time stamp, so that the cases have the same names in every process
    b">a\n" + bytes(np.random.default_rng(0).choice(np.frombuffer(b"ACDEFGHIKL", dtype=np.uint8), 5000)), mtime=0
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fasta", b"", "the file is empty. Give a protein FASTA"),
        ("a.fasta", b"\n \n\n", "the file is empty"),
        (
            "a.fasta",
            b"\nMKV\n>a\nMK\n",
            "line 2 must be a header that starts with '>', got 'MKV' .residues before any header: put a line",
        ),
        ("a.fasta", b"@r1\nACGT\n+\nIIII\n", "got '@r1' .as in FASTQ.. Give a protein FASTA"),
        ("a.fasta", b"LOCUS       X\n", r"\(as in GenBank\). Give a protein FASTA"),
        ("a.fasta", b"ID   CRAB_ANAPL  Reviewed;\n", r"\(as in UniProt or EMBL\)"),
        ("a.fasta", b"<!DOCTYPE html>\n", r"\(as in HTML or XML\)"),
        ("a.fasta", b"PK\x03\x04abc", "is a zip archive. Give a protein FASTA as text, plain or gzipped once"),
        ("a.fasta", ">a\nMK\n".encode("utf-16"), r"is text in UTF-16 \(iconv -f UTF-16"),
        ("a.fasta.gz", gzip.compress(gzip.compress(b">a\nMK\n", mtime=0), mtime=0), "holds .* Give .* gzipped once"),
        ("a.fasta.gz", b"", "the file is empty"),
        ("a.fasta.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        (
            "a.fasta",
            b">a\nMK\n>b\n>c\nMK\n",
            r"record 2 \('b'\) has no sequence. Remove the record or add its residues",
        ),
        ("a.fasta", b">a\nMK\n>b", r"record 2 \('b'\) has no sequence"),
        ("a.fasta", b">a\n*\n", r"record 1 \('a'\) has no sequence"),
        (
            "a.fasta",
            b">a\nMK\n>b\nMK1V\n",
            r"record 2 \('b'\): residue 3 is '1', which is not an amino-acid letter. Use only",
        ),
        ("a.fasta", b">a\nM-K\n", "residue 2 is '-', which is a gap of an alignment. Use only"),
        ("a.fasta", b">a\nM.K\n", r"residue 2 is '\.', which is a gap of an alignment"),
        ("a.fasta", b">a\nM*K\n", r"residue 2 is '\*', which is a stop within the sequence"),
        ("a.fasta", b">a\nMK**\n", r"residue 3 is '\*'"),
        ("a.fasta", ">a\nMÄK\n".encode(), "residue 2 is 'Ä'"),
        ("a.fasta", b">a\nM\x00K\n", r"residue 2 is '\\x00'"),
        ("a.fasta", b">a\nM\x1cK\n", r"residue 2 is '\\x1c'"),
        ("a.fasta", ">a\nMß\n".encode(), "residue 2 is 'ß'"),
        ("a.fasta", ">a\nM\u017f\n".encode(), "residue 2 is '\u017f'"),
        ("a.fasta.gz", b">a\nMK\n", "not a valid gzip file.*If it is plain text, rename it"),
        ("a.fasta.gz", ZIPPED[: len(ZIPPED) // 2], "the gzip file is truncated or damaged.*Download it again"),
        ("a.fasta.gz", ZIPPED[:5], "the gzip file is truncated or damaged"),
        ("a.fasta.gz", ZIPPED[:40] + b"\xff" * 30 + ZIPPED[70:], "gzip file"),
        ("a.fasta.gz", ZIPPED[:-8] + b"12345678", "not a valid gzip file"),
        ("a.fasta", NOISE, "not a text file"),
        ("a.fasta.gz", gzip.compress(NOISE, mtime=0), "not a text file"),
    ],
)
def test_bad_files_are_refused_with_one_line_that_names_the_file(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(BadInputError, match=message) as caught:
        read_proteins(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("byte", "letter"), [(b"\xb4", "\u00b4"), (b"\xa0", r"\\xa0"), (b"\x96", "\u2013"), (b"\xdf", "ß"), (b"\xe9", "é")]
)
@pytest.mark.parametrize("before", [b"", b">P0\r\nMKV\r\n", b"\n>\xc3\xa9\nMKV\n"])
def test_a_byte_of_latin_1_in_a_header_is_named_with_its_line_and_a_remedy(
    tmp_path: Path, byte: bytes, letter: str, before: bytes
) -> None:
    path = write(tmp_path, before + b">P1 exodeoxyribonuclease 5" + byte + b" to 3\nMKTAYIAK\n")
    line = before.count(b"\n") + 1
    message = (
        f"line {line} contains the byte 0x{byte.hex()}, which isn't UTF-8, but '{letter}' in Latin-1 .*iconv -f WIN"
    )
    with pytest.raises(BadInputError, match=message) as caught:
        read_proteins(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", ["P1", "F1", "DL", "N1", "XX"])
@pytest.mark.parametrize("title", ["ALPHA CRYSTALLIN A CHAIN", "alpha-crystallin (1.2)", ""])
def test_files_in_pir_format_are_named(tmp_path: Path, kind: str, title: str) -> None:
    path = write(tmp_path, f">{kind};CRAB_ANAPL\n{title}\nMDITIHNPLI RRPLFSWLAP*\n")
    with pytest.raises(
        BadInputError, match=rf"record 1 \('{kind};CRAB_ANAPL'\) is in PIR format, .*Convert it to FASTA"
    ):
        read_proteins(path)


GENE, PROTEIN = "ATGGCGTACGTTAGCNNNTGA", "MKVLAAGWYCDEFHINPQRST"


@pytest.mark.parametrize(
    ("sequences", "which"),
    [
        (["ACGT"], "the records are"),
        (["GATTACA", "CCCGGG"], "the records are"),
        ([GENE], "1 of 1 records, first 'p0', are"),
        ([GENE.lower()], "1 of 1 records"),
        ([GENE.replace("T", "U")] * 30, "30 of 30 records"),
        ([GENE * 5 + "RYK"], "1 of 1 records"),
        ([PROTEIN, PROTEIN, GENE], "1 of 3 records, first 'p2', are"),
    ],
)
def test_nucleotides_are_not_taken_for_proteins(tmp_path: Path, sequences: list[str], which: str) -> None:
    path = write(tmp_path, "".join(f">p{number}\n{sequence}\n" for number, sequence in enumerate(sequences)))
    with pytest.raises(
        BadInputError, match=f"{which}.* nucleotide sequences .* not proteins. Translate or remove them"
    ):
        read_proteins(path)


@pytest.mark.parametrize(
    "sequences",
    [["GAGAGAGAGAGAGAGAGAGAGA"], ["N" * 40], ["ACGTM"], ["GATTACA", PROTEIN], ["A" * 30], ["TTAATTAACCAATTAACCAATT"]],
)
def test_proteins_of_few_letters_are_read(tmp_path: Path, sequences: list[str]) -> None:
    path = write(tmp_path, "".join(f">p\n{sequence}\n" for sequence in sequences))
    assert [protein.sequence for protein in read_proteins(path)] == sequences


def test_a_file_without_a_known_residue_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ">a\nXXXX\n>b\nxxbz*\n")
    with pytest.raises(BadInputError, match="no record has a known residue, only B, J, X and Z: the file is masked"):
        read_proteins(path)
    assert len(read_proteins(write(tmp_path, ">a\nXXXX\n>b\nMK\n"))) == 2


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there is no such file"):
        read_proteins(tmp_path / "none.fasta")
    with pytest.raises(BadInputError, match=r"can't be read \(Is a directory\)"):
        read_proteins(tmp_path)
    with pytest.raises(BadInputError, match=r"can't be read \(Not a directory\)"):
        read_proteins(write(tmp_path, b"") / "a.fasta")


def test_the_embedded_proteins_match_their_description() -> None:
    proteins = embedded_proteins()
    lengths = [len(protein.sequence) for protein in proteins]
    assert (len(proteins), sum(lengths), min(lengths), max(lengths)) == (2170, 526_890, 42, 511)
    assert len({protein.sequence for protein in proteins}) == 2170
    assert set("".join(protein.sequence for protein in proteins)) == set("ACDEFGHIKLMNPQRSTVWY")


def test_tokens_spell_the_sequence() -> None:
    sequence = "ACDEFGHIKLMNPQRSTVWYUOBZJX"
    ids = encode(sequence)
    assert [VOCABULARY[token] for token in ids] == ["<cls>", *sequence, "<eos>"]
    assert encode(sequence.lower()).tolist() == ids.tolist()
    assert len(set(VOCABULARY)) == len(VOCABULARY) == 30


@pytest.mark.parametrize("content", [b">a\nMK\n", gzip.compress(b">a\nMK\n", mtime=0)])
def test_a_pipe_is_read_completely(tmp_path: Path, content: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert read_proteins(pipe) == (Protein("a", "MK"),)
    writer.join()
