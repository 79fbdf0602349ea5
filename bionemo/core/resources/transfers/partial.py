"""A download that isn't complete: its bytes, from where they came, and the progress bar."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["DiskError", "GoneError", "Partial", "WrongContentError"]


class DiskError(Exception):
    """The cache can't be written to: no other URL helps. The cause is an OSError."""


class GoneError(Exception):
    """A URL can't give the file, however often it is asked."""


class WrongContentError(Exception):
    """A URL gives other bytes than it should."""


class Partial:
    """The file that a download is written to, from its end; a later process resumes where a killed one was.

    Args:
        path: the file.
        max_bytes: the size that it must get; None if unknown.
        on_progress: called with the number of bytes of each change of size, which is negative for a restart.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Partial(Path(folder, "a"), max_bytes=3) as partial:
        ...         partial.write(b"ab")
        ...     with Partial(Path(folder, "a"), max_bytes=3) as partial:
        ...         partial.size
        2
    """

    def __init__(
        self, path: Path, *, max_bytes: int | None = None, on_progress: Callable[[int], object] = lambda _: None
    ) -> None:
        self.path, self.max_bytes, self._on_progress = path, max_bytes, on_progress
        self._version_path = path.with_name(f"{path.name}.from")
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise DiskError from error
        self._on_progress(self.size)

    def __enter__(self) -> "Partial":  # noqa: PYI034 - beartype refuses Self
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk, which the write has reported
            self._file.close()

    @property
    def size(self) -> int:
        """The number of bytes so far."""
        return self._file.tell()

    def write(self, block: bytes, /) -> None:
        """Append bytes; they are in the file, whatever happens to this process.

        Raises:
            WrongContentError: if there are more than there should be.
            DiskError: if the disk is full.
        """
        if self.max_bytes is not None and self.size + len(block) > self.max_bytes:
            message = f"more than the {self.max_bytes:,} bytes that it must have"
            raise WrongContentError(message)
        try:
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            raise DiskError from error
        self._on_progress(len(block))

    def flush(self) -> None:
        """Do nothing: each write is flushed."""

    def restart(self) -> None:
        """Remove all bytes."""
        self._on_progress(-self.size)
        self._file.seek(0)
        self._file.truncate(0)
        self._version_path.unlink(missing_ok=True)

    def replace_by(self, path: Path, /) -> None:
        """Take a complete file, which another library has downloaded to the same disk, instead of the bytes so far."""
        self._on_progress(path.stat().st_size - self.size)
        self._file.close()
        path.replace(self.path)
        self._file = self.path.open("ab")

    def version_from(self, url: str, /) -> str | None:
        """Return the version of the file of which a URL gave the bytes so far; None if another URL gave them."""
        with suppress(OSError, ValueError):
            known = json.loads(self._version_path.read_bytes())
            return str(known["version"]) if known["url"] == url else None
        return None

    def set_version(self, url: str, version: str, /) -> None:
        """Remember which version of the file a URL gives, e.g. its ETag."""
        try:
            self._version_path.write_text(json.dumps({"url": url, "version": version}))
        except OSError as error:
            raise DiskError from error

    def finish(self) -> None:
        """Wait until the bytes are on the disk, and remove what is beside them."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DiskError from error
        self._version_path.unlink(missing_ok=True)
