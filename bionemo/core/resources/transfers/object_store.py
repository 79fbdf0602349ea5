"""Objects of S3, by fsspec, in ranges: a later try or process resumes at the last byte."""

from typing import Any, Final

from bionemo.core.extras import require
from bionemo.core.resources.transfers.partial import DiskError, GoneError, Partial, WrongContentError

__all__ = ["PBSS_ENDPOINT", "fetch_pbss", "fetch_s3"]

PBSS_ENDPOINT: Final = "https://pbss.s8k.io"
"""The S3 storage of bionemo-core 2.x, inside NVIDIA's network."""

_BLOCK: Final = 2**24
"""Number of bytes of a request."""


def fetch_s3(url: str, partial: Partial, /) -> None:
    """Append to a partial file what is missing of an S3 object.

    Credentials, region and endpoint are those of the AWS tools, e.g. the environment variable `AWS_ENDPOINT_URL`;
    without credentials, the object is read as everybody.

    Raises:
        ModuleNotFoundError: if s3fs isn't installed.
        OSError: if the connection fails.
        GoneError: if there is no such object, or it may not be read.
        WrongContentError: if its size is not the one that it must have.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "a")) as partial:
        ...     fetch_s3("s3://bucket/key", partial)  # doctest: +SKIP
    """
    _fetch(url, partial, endpoint_url=None)


def fetch_pbss(url: str, partial: Partial, /) -> None:
    """Append to a partial file what is missing of an object of 2.x's own storage; otherwise like `fetch_s3`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "a")) as partial:
        ...     fetch_pbss("pbss://bucket/key", partial)  # doctest: +SKIP
    """
    _fetch(url, partial, endpoint_url=PBSS_ENDPOINT)


def _fetch(url: str, partial: Partial, *, endpoint_url: str | None) -> None:
    require("s3fs", extra="remote")
    fsspec = require("fsspec", extra="remote")
    session = require("botocore.session", extra="remote").get_session()
    key = url.partition("://")[2]
    system = fsspec.filesystem(
        "s3", anon=session.get_credentials() is None, endpoint_url=endpoint_url, skip_instance_cache=True
    )
    try:
        _fetch_ranges(url, key, system, partial)
    except (FileNotFoundError, PermissionError) as error:
        message = f"{type(error).__name__}: {error}"
        raise GoneError(message) from error
    except (DiskError, WrongContentError, OSError):
        raise
    except Exception as error:  # botocore's errors are no OSErrors
        message = f"{type(error).__name__}: {error}"
        raise OSError(message) from error


def _fetch_ranges(url: str, key: str, system: Any, partial: Partial) -> None:
    info = system.info(key)
    size, version = int(info["size"]), str(info.get("ETag", ""))
    if partial.max_bytes is not None and size != partial.max_bytes:
        message = f"{size:,} bytes, and must have {partial.max_bytes:,}"
        raise WrongContentError(message)
    if partial.size > size or (partial.size and partial.version_from(url) not in {None, version}):
        partial.restart()
    partial.set_version(url, version)
    while partial.size < size:
        block = system.cat_file(key, start=partial.size, end=min(partial.size + _BLOCK, size))
        if not block:
            message = f"the object ends after {partial.size:,} of {size:,} bytes"
            raise OSError(message)
        partial.write(block)
