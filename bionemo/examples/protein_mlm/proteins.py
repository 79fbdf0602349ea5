"""Read proteins from a FASTA file and encode them as tokens."""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from Bio.SeqIO.FastaIO import SimpleFastaParser

from bionemo.examples.protein_mlm.bad_input import BadInputError

__all__ = [
    "AMBIGUOUS_IDS",
    "AMINO_ACID_IDS",
    "CLS_ID",
    "EOS_ID",
    "MASK_ID",
    "PAD_ID",
    "VOCABULARY",
    "Protein",
    "embedded_proteins",
    "encode",
    "read_proteins",
]

AMINO_ACIDS: Final = "ACDEFGHIKLMNPQRSTVWY"
"""IUPAC letters of the 20 standard amino acids."""

VOCABULARY: Final = ("<pad>", "<mask>", "<cls>", "<eos>", *AMINO_ACIDS, *"UO", *"BZJX")
"""Tokens by id: special tokens, the standard amino acids, selenocysteine and pyrrolysine, and ambiguous letters."""

PAD_ID: Final = VOCABULARY.index("<pad>")
MASK_ID: Final = VOCABULARY.index("<mask>")
CLS_ID: Final = VOCABULARY.index("<cls>")
EOS_ID: Final = VOCABULARY.index("<eos>")
AMINO_ACID_IDS: Final = tuple(map(VOCABULARY.index, AMINO_ACIDS))
AMBIGUOUS_IDS: Final = tuple(map(VOCABULARY.index, "BZJX"))

_ID_OF_BYTE: Final = np.full(256, -1, dtype=np.int64)
for _id, _letter in enumerate(VOCABULARY):
    if len(_letter) == 1:
        _ID_OF_BYTE[[ord(_letter), ord(_letter.lower())]] = _id


class Protein(NamedTuple):
    """A record of a FASTA file: the first word of its header, and its residues in upper case."""

    name: str
    sequence: str


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
    except UnicodeDecodeError as error:
        message = (
            f"{path}: not a text file (it contains the byte 0x{error.object[error.start]:02x}). Give a protein FASTA."
        )
        raise BadInputError(message) from error
    except OSError as error:
        message = f"{path}: can't be read ({error.strerror}). Give the path of a protein FASTA."
        raise BadInputError(message) from error


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a text file, gzipped if its name or first bytes say so. It is opened only once, so that pipes work."""
    with path.open("rb") as raw:
        is_gzip = path.suffix == ".gz" or raw.peek(2)[:2] == b"\x1f\x8b"
        binary = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig") as text:
            yield text


def _sequence(raw: str, where: str) -> str:
    """Return the residues of a record in upper case, without one `*` at the end."""
    sequence = "".join(raw.split(" ")).removesuffix("*")
    if not sequence:
        message = f"{where} has no sequence. Remove the record or add its residues."
        raise BadInputError(message)
    for number, letter in enumerate(sequence, start=1):
        if not letter.isascii() or _ID_OF_BYTE[ord(letter)] < 0:
            message = (
                f"{where}: residue {number} is {letter!r}, which is not an amino-acid letter. "
                f"Use only {AMINO_ACIDS}, U, O, B, Z, J, X, and * at the end."
            )
            raise BadInputError(message)
    return sequence.upper()


def read_proteins(path: Path, /) -> tuple[Protein, ...]:
    r"""Return the records of a protein FASTA file in file order.

    Lower case, CRLF line endings, blank lines, a byte order mark, duplicate names, the letters U, O, B, Z, J and X, and
    one `*` at the end of a sequence are accepted.

    Args:
        path: plain text or gzipped.

    Raises:
        BadInputError: if the file can't be read, has no record, doesn't start with a header, or has a record that is
            empty or contains any other character; the message names the file, and the line or record.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.fasta"
        ...     _ = path.write_text(">a first\nMK\nV\n>b\nmwx*\n")
        ...     read_proteins(path)
        (Protein(name='a', sequence='MKV'), Protein(name='b', sequence='MWX'))
    """
    proteins = []
    with _explain_errors(path), _open_text(path) as lines:
        number, first = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (0, ""))
        if not first:
            message = f"{path}: the file is empty. Give a protein FASTA."
            raise BadInputError(message)
        if not first.startswith(">"):
            message = (
                f"{path}: line {number} must be a header that starts with '>', got {first.strip()[:40]!r}. "
                "Give a protein FASTA."
            )
            raise BadInputError(message)
        for record, (title, raw) in enumerate(SimpleFastaParser(itertools.chain([first], lines)), start=1):
            name = (title.split() or [""])[0]
            proteins.append(Protein(name, _sequence(raw, f"{path}: record {record} ({name!r})")))
    return tuple(proteins)


def embedded_proteins() -> tuple[Protein, ...]:
    """Return the 2,170 reviewed UniProtKB/Swiss-Prot proteins that come with the package.

    They are licensed CC BY 4.0: see `data/SOURCES.md`.

    Example:
        >>> len(embedded_proteins())
        2170
    """
    with resources.as_file(resources.files("bionemo.examples") / "data" / "swissprot_2k.fasta.gz") as path:
        return read_proteins(path)


def encode(sequence: str, /) -> npt.NDArray[np.int64]:
    """Return the token ids of a protein, from `<cls>` to `<eos>`.

    Args:
        sequence: residues, as returned by `read_proteins`.

    Returns:
        `len(sequence) + 2` indices into `VOCABULARY`, int64.

    Example:
        >>> encode("MK")
        array([ 2, 14, 12,  3])
    """
    residues = _ID_OF_BYTE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    return np.concatenate([[CLS_ID], residues, [EOS_ID]])
