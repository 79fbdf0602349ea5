"""The lines of a FASTA file, plain or gzipped; other kinds of files are refused by name."""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bionemo.examples.protein_mlm.bad_input import BadInputError

__all__ = ["open_fasta"]

_FIRST_PRINTABLE: Final = 32
"""Characters below are white space or control characters, which no text holds."""

_KINDS_BY_BYTES: Final = MappingProxyType(
    {
        b"\x1f\x8b": "a gzip file",
        b"PK\x03\x04": "a zip archive",
        b"BZh": "a bzip2 file",
        b"\xfd7zXZ": "an xz file",
        b"\x28\xb5\x2f\xfd": "a Zstandard file",
        b"\xff\xfe": "text in UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)",
        b"\xfe\xff": "text in UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)",
        b"%PDF": "a PDF",
    }
)
"""Files that aren't FASTA, by their first bytes."""

_KINDS_BY_TEXT: Final = MappingProxyType(
    {
        "@": "as in FASTQ",
        "LOCUS": "as in GenBank",
        "ID  ": "as in UniProt or EMBL",
        "HEADER": "as in PDB",
        "data_": "as in mmCIF",
        "CLUSTAL": "as in Clustal",
        "# STOCKHOLM": "as in Stockholm",
        "##gff": "as in GFF",
        "<": "as in HTML or XML",
        "{": "as in JSON",
        "[": "as in JSON",
        ";": "a comment",
    }
)
"""Texts that aren't FASTA, by their first line."""


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Turn errors while reading a file into a `BadInputError` whose one line names the file and the remedy."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"{path}: there is no such file. Give the path of a protein FASTA, plain or gzipped."
        raise BadInputError(message) from error
    except gzip.BadGzipFile as error:
        message = f"{path}: not a valid gzip file ({error}). If it is plain text, rename it; if not, download it again."
        raise BadInputError(message) from error
    except (EOFError, zlib.error) as error:
        message = f"{path}: the gzip file is truncated or damaged ({error}). Download it again."
        raise BadInputError(message) from error
    except OSError as error:
        message = f"{path}: can't be read ({error.strerror}). Give the path of a protein FASTA."
        raise BadInputError(message) from error


@contextmanager
def open_fasta(path: Path) -> Iterator[Iterable[str]]:
    """Give the lines of a FASTA file from its first header on.

    The file is gzipped if its name or first bytes say so. It is opened only once, so that pipes work.

    Raises:
        BadInputError: also while reading, if the file can't be read, isn't UTF-8 text, is empty, or doesn't start with
            a header; the message says what the file is.
    """
    with _explain_errors(path), path.open("rb") as raw:
        is_gzip = path.suffix == ".gz" or raw.peek(2)[:2] == b"\x1f\x8b"
        binary = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        head = binary.peek(8)
        kind = next((kind for start, kind in _KINDS_BY_BYTES.items() if head.startswith(start)), None)
        if kind is not None:
            message = (
                f"{path}: {'holds' if is_gzip else 'is'} {kind}. Give a protein FASTA as text, plain or gzipped once."
            )
            raise BadInputError(message)
        with io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape") as text:
            yield _from_header(path, _decoded(path, text))


def _from_header(path: Path, lines: Iterator[str]) -> Iterator[str]:
    """Return the lines from the first that isn't blank, after checking that it is a header."""
    number, first = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (0, ""))
    if not first:
        message = f"{path}: the file is empty. Give a protein FASTA."
        raise BadInputError(message)
    if not first.startswith(">"):
        shown = first.strip()
        kind = next((kind for start, kind in _KINDS_BY_TEXT.items() if first.startswith(start)), None)
        if kind is None and shown.removesuffix("*").isalpha():
            kind = "residues before any header: put a line such as '>name' before them"
        message = (
            f"{path}: line {number} must be a header that starts with '>', got {shown[:40]!r}"
            f"{f' ({kind})' if kind else ''}. Give a protein FASTA."
        )
        raise BadInputError(message)
    return itertools.chain([first], lines)


def _decoded(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines after checking that they are UTF-8; bytes that aren't arrive as surrogates, U+DC80..U+DCFF."""
    for number, line in enumerate(lines, start=1):
        if not line.isascii() and (escaped := [ord(letter) for letter in line if "\udc80" <= letter <= "\udcff"]):
            byte = bytes([escaped[0] - 0xDC00])
            where = f"{path}: line {number} contains the byte 0x{byte.hex()}"
            is_text = number > 1 or line.startswith(">")
            if not is_text or any(ord(letter) < _FIRST_PRINTABLE and not letter.isspace() for letter in line):
                message = f"{where}: not a text file. Give a protein FASTA."
            else:
                letter = byte.decode("cp1252", errors="replace")
                message = (
                    f"{where}, which isn't UTF-8, but {letter!r} in Latin-1 (Windows-1252), e.g. in an old header. "
                    f"Convert the file: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > converted.fasta"
                )
            raise BadInputError(message)
        yield line
