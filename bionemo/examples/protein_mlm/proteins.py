"""Read proteins from a FASTA file and encode them as tokens."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from Bio.SeqIO.FastaIO import SimpleFastaParser

from bionemo.examples.protein_mlm.bad_input import BadInputError
from bionemo.examples.protein_mlm.fasta_lines import open_fasta

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


_AMBIGUOUS: Final = frozenset("BZJX")

_MIN_BASES: Final = 20
"""Length from which a single record is taken for nucleotides: no protein that long has such letters alone."""

_MIN_FRACTION_OF_BASES: Final = 0.95

_PIR_NAME: Final = re.compile("(P1|F1|D1|DL|DC|RL|RC|N1|N3|XX);")
"""How the names of PIR's records begin, by the kinds of sequences that it knows. Source: `Bio.SeqIO.PirIO`."""

_KINDS_OF_CHARACTERS: Final = MappingProxyType(
    {"-": "a gap of an alignment", ".": "a gap of an alignment", "*": "a stop within the sequence"}
)


class Protein(NamedTuple):
    """A record of a FASTA file: the first word of its header, and its residues in upper case."""

    name: str
    sequence: str


def _sequence(raw: str, where: str) -> str:
    """Return the residues of a record in upper case, without one `*` at the end."""
    sequence = "".join(raw.split(" ")).removesuffix("*")
    if not sequence:
        message = f"{where} has no sequence. Remove the record or add its residues."
        raise BadInputError(message)
    for number, letter in enumerate(sequence, start=1):
        if not letter.isascii() or _ID_OF_BYTE[ord(letter)] < 0:
            hint = _KINDS_OF_CHARACTERS.get(letter, "not an amino-acid letter")
            message = (
                f"{where}: residue {number} is {letter!r}, which is {hint}. "
                f"Use only {AMINO_ACIDS}, U, O, B, Z, J, X, and * at the end."
            )
            raise BadInputError(message)
    return sequence.upper()


def _is_nucleic(sequence: str) -> bool:
    """Return whether a sequence is of nucleotides: A, C, G and T or U all occur, and hardly any other letter.

    One residue in four of a protein is one of these letters. Up to 5% may be others, for IUPAC's ambiguous bases.
    """
    counts = {letter: sequence.count(letter) for letter in "ACGTUN"}
    occur = counts["A"] and counts["C"] and counts["G"] and (counts["T"] or counts["U"])
    return bool(occur) and sum(counts.values()) >= _MIN_FRACTION_OF_BASES * len(sequence)


def _check_proteins(path: Path, proteins: Sequence[Protein]) -> None:
    """Check that the records of a file are proteins with residues to predict."""
    nucleic = [
        protein.name for protein in proteins if len(protein.sequence) >= _MIN_BASES and _is_nucleic(protein.sequence)
    ]
    if nucleic or _is_nucleic("".join(protein.sequence for protein in proteins[:1000])):
        which = (
            f"{len(nucleic):,} of {len(proteins):,} records, first {nucleic[0]!r}, are"
            if nucleic
            else "the records are"
        )
        message = f"{path}: {which} nucleotide sequences (A, C, G, T, U, N), not proteins. Translate or remove them."
        raise BadInputError(message)
    if all(_AMBIGUOUS.issuperset(protein.sequence) for protein in proteins):
        message = (
            f"{path}: no record has a known residue, only B, J, X and Z: the file is masked, and there is nothing to "
            "learn. Give the unmasked proteins."
        )
        raise BadInputError(message)


def read_proteins(path: Path, /) -> tuple[Protein, ...]:
    r"""Return the records of a protein FASTA file in file order.

    Lower case, CRLF line endings, blank lines, a byte order mark, duplicate names, the letters U, O, B, Z, J and X, and
    one `*` at the end of a sequence are accepted.

    Args:
        path: plain text or gzipped.

    Raises:
        BadInputError: if the file can't be read, has no record, doesn't start with a header, has a record that is
            empty or contains any other character, or holds nucleotides, records in PIR format or no known residue; the
            message names the file, and the line or record.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.fasta"
        ...     _ = path.write_text(">a first\nMK\nV\n>b\nmwx*\n")
        ...     read_proteins(path)
        (Protein(name='a', sequence='MKV'), Protein(name='b', sequence='MWX'))
    """
    proteins = []
    with open_fasta(path) as lines:
        for record, (title, raw) in enumerate(SimpleFastaParser(lines), start=1):
            name = (title.split() or [""])[0]
            if _PIR_NAME.match(name):
                message = (
                    f"{path}: record {record} ({name!r}) is in PIR format, in which a title follows each header. "
                    "Convert it to FASTA, e.g. by Bio.SeqIO.convert(path, 'pir', new_path, 'fasta')."
                )
                raise BadInputError(message)
            proteins.append(Protein(name, _sequence(raw, f"{path}: record {record} ({name!r})")))
    _check_proteins(path, proteins)
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
