"""Data sets on disk and in memory, for random access: each is a small record that opens its files where it is read.

They pickle by path, so that a worker process opens its own files and nothing is copied.
"""

from bionemo.data.sources.cell_rows import CellRows as CellRows
from bionemo.data.sources.ragged_rows import RaggedRows as RaggedRows
from bionemo.data.sources.ragged_rows import ragged_rows as ragged_rows
from bionemo.data.sources.token_file import TokenFile as TokenFile
from bionemo.data.sources.token_file import write_tokens as write_tokens

__all__ = ["CellRows", "RaggedRows", "TokenFile", "ragged_rows", "write_tokens"]
