"""Get a resource's file from the first URL that gives the right bytes."""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bionemo.core.resources.marks import sha256_of
from bionemo.core.resources.resource import Resource, source_of
from bionemo.core.resources.transfers import OFFLINE_SOURCES, TRANSFERS
from bionemo.core.resources.transfers.partial import DiskError, GoneError, Partial, WrongContentError

__all__ = ["fetch", "is_offline"]

_TRIES: Final = 5
"""Times in a row that a URL is tried without getting further than before."""
_WAIT = 0.5
"""Seconds before the second try; twice as long before each further one."""


def is_offline() -> bool:
    """Return whether the environment variable BIONEMO_OFFLINE forbids to use the network.

    Raises:
        ValueError: if its value is neither yes nor no.

    Example:
        >>> is_offline()
        False
    """
    value = os.environ.get("BIONEMO_OFFLINE", "").strip().lower()
    if value not in {"", "0", "false", "no", "1", "true", "yes"}:
        message = f"BIONEMO_OFFLINE must be 1 or 0, got BIONEMO_OFFLINE={value}."
        raise ValueError(message)
    return value in {"1", "true", "yes"}


def fetch(resource: Resource, urls: Sequence[str], path: Path, /) -> None:
    """Make `path` a file with the bytes of a resource. It isn't visible under this name, and may be partly there.

    Args:
        resource: what the bytes must be.
        urls: where they may be, in the order in which they are tried.
        path: the partial file. If the process is killed, a later call resumes it.

    Raises:
        ValueError: if each URL gave wrong bytes.
        OSError: if no URL gave the file, with a line for each; or the disk is full or read-only.

    Example:
        >>> import hashlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a").write_text("text")
        ...     urls = [Path(folder, "a").as_uri()]
        ...     resource = Resource(tag="a/b", urls=urls, sha256=hashlib.sha256(b"text").hexdigest())
        ...     fetch(resource, urls, Path(folder, "part"))
        ...     Path(folder, "part").read_text()
        'text'
    """
    from tqdm.auto import tqdm  # noqa: PLC0415 - takes long to import

    errors: list[Exception] = []
    bar = tqdm(total=resource.size, unit="B", unit_scale=True, unit_divisor=1024, desc=resource.tag, disable=None)
    try:
        with bar, Partial(path, max_bytes=resource.size, on_progress=bar.update) as partial:
            for url in urls:
                if is_offline() and source_of(url) not in OFFLINE_SOURCES:
                    errors.append(OSError("BIONEMO_OFFLINE forbids to use the network"))
                    continue
                try:
                    _fetch_from(url, partial, resource)
                except (GoneError, ModuleNotFoundError, OSError, WrongContentError) as error:
                    errors.append(error)
                else:
                    partial.finish()
                    return
    except DiskError as error:
        raise _disk_error(error.__cause__, path) from error
    lines = "".join(f"\n  {url}: {_in_one_line(error)}" for url, error in zip(urls, errors, strict=True))
    message = f"{resource.tag} can't be downloaded:{lines}"
    is_wrong = all(isinstance(error, WrongContentError) for error in errors)
    raise (ValueError if is_wrong else OSError)(message) from errors[-1]


def _fetch_from(url: str, partial: Partial, resource: Resource) -> None:
    """Fetch a file from one URL, and again if the connection fails, or bytes of an earlier try were wrong."""
    num_tries, most = 0, partial.size
    while True:
        before = partial.size
        try:
            TRANSFERS[source_of(url)](url, partial)
            _check(partial, resource)
        except WrongContentError:
            partial.restart()
            if not before:
                raise
        except OSError:
            num_tries = 1 if partial.size > most else num_tries + 1
            most = max(most, partial.size)
            if num_tries == _TRIES:
                raise
            time.sleep(_WAIT * 2 ** (num_tries - 1))
        else:
            return


def _check(partial: Partial, resource: Resource) -> None:
    size = partial.size
    if resource.size is not None and size < resource.size:
        message = f"it ended after {size:,} of {resource.size:,} bytes"
        raise OSError(message)
    if (found := sha256_of(partial.path)) != resource.sha256:
        message = f"{size:,} bytes with sha256 {found}, and must have {resource.sha256}"
        raise WrongContentError(message)


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).removesuffix(".")
    return text if isinstance(error, GoneError | WrongContentError) else f"{type(error).__name__}: {text}"


def _disk_error(error: BaseException | None, path: Path) -> OSError:
    if not isinstance(error, OSError):
        return OSError(str(error))
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        message = f"{error.strerror}: free some space, or choose another folder by BIONEMO_CACHE_DIR or cache_dir"
        return OSError(error.errno, message, str(path))
    return OSError(error.errno, error.strerror, str(path))
