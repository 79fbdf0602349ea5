"""Data sets on disk and in memory, for random access: each is a small record that opens its files where it is read.

They pickle by path, so that a worker process opens its own files and nothing is copied.
"""

from bionemo.data.sources.cells.cell_rows import CellRows as CellRows
from bionemo.data.sources.ragged_rows import RaggedRows as RaggedRows
from bionemo.data.sources.ragged_rows import ragged_rows as ragged_rows
from bionemo.data.sources.remote.remote_rows import RemoteRows as RemoteRows
from bionemo.data.sources.remote.shards import write_manifest as write_manifest
from bionemo.data.sources.sequences.fasta_file import FastaFile as FastaFile
from bionemo.data.sources.sequences.letters import letter_table as letter_table
from bionemo.data.sources.sequences.token_file import TokenFile as TokenFile
from bionemo.data.sources.sequences.token_file import write_tokens as write_tokens
from bionemo.data.sources.sequences.tokenize import tokenize_fasta as tokenize_fasta
from bionemo.data.sources.sequences.windows import Windows as Windows
from bionemo.data.sources.sequences.windows import windows as windows
from bionemo.data.sources.tables.table_rows import TableRows as TableRows

__all__ = [
    "CellRows",
    "FastaFile",
    "RaggedRows",
    "RemoteRows",
    "TableRows",
    "TokenFile",
    "Windows",
    "letter_table",
    "ragged_rows",
    "tokenize_fasta",
    "windows",
    "write_manifest",
    "write_tokens",
]
