"""Files of this machine: `file://`, and `package://` for those of installed packages."""

from importlib import resources
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from bionemo.core.resources.transfers.partial import GoneError, Partial

__all__ = ["fetch_local", "fetch_packaged"]

_BLOCK: Final = 2**20


def fetch_local(url: str, partial: Partial, /) -> None:
    """Copy a file.

    Raises:
        OSError, GoneError: if it can't be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "copy")) as partial:
        ...     _ = Path(folder, "a b").write_text("text")
        ...     fetch_local(Path(folder, "a b").as_uri(), partial)
        ...     partial.path.read_text()
        'text'
    """
    path = Path(unquote(urlsplit(url).path))
    if not path.is_file():
        message = f"{path} is no file"
        raise GoneError(message)
    with path.open("rb") as file:
        _copy(file, partial)


def fetch_packaged(url: str, partial: Partial, /) -> None:
    """Copy a file of an installed package.

    Raises:
        OSError, GoneError: if it can't be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "copy")) as partial:
        ...     fetch_packaged("package://bionemo.core/py.typed", partial)
        ...     partial.size
        0
    """
    parts = urlsplit(url)
    try:
        with resources.files(parts.netloc).joinpath(unquote(parts.path).lstrip("/")).open("rb") as file:
            _copy(file, partial)
    except (ImportError, FileNotFoundError, IsADirectoryError, TypeError) as error:
        raise GoneError(str(error)) from error


def _copy(file: IO[bytes], partial: Partial) -> None:
    """Copy what a file holds, from its start: what came from elsewhere is as fast to copy again as to compare."""
    if partial.size:
        partial.restart()
    while block := file.read(_BLOCK):
        partial.write(block)
