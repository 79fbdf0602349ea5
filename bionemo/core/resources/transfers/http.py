"""Files over HTTP, resumed where an earlier try was cut."""

import re
from typing import Any, Final

from bionemo.core.resources.transfers.partial import GoneError, Partial, WrongContentError

__all__ = ["fetch_http"]

_TIMEOUT = (10, 60)
"""Seconds to wait for a connection, and for the next bytes."""

_BLOCK: Final = 2**16

_AGAIN: Final = (408, 416, 425, 429)
"""Client errors that may pass: a timeout, a range beyond the end, too many requests."""


def fetch_http(url: str, partial: Partial, /) -> None:
    """Append to a partial file what is missing of a URL's content.

    The range is only taken if the server still has the version of the first part (`If-Range`); otherwise the file
    starts again. Source: RFC 9110, sections 13.1.5 and 14.

    Raises:
        OSError: if the connection fails or is cut: what was received is in the file.
        GoneError: if the server says that it doesn't have the file, or doesn't give it.
        WrongContentError: if the size is not the one that the file must have.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "a")) as partial:
        ...     fetch_http("http://127.0.0.1:9/a", partial)  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        requests.exceptions.ConnectionError: ... Connection refused
    """
    import pooch  # noqa: PLC0415 - it and requests are only needed here
    import requests  # noqa: PLC0415

    responses: list[Any] = []

    def prepare(response: Any, *_: object, **__: object) -> None:
        responses.append(response)
        if response.ok and not response.is_redirect:
            _prepare(url, response, partial)

    headers = {"Accept-Encoding": "identity"}
    if partial.size:
        headers["Range"] = f"bytes={partial.size}-"
        if (version := partial.version_from(url)) is not None:
            headers["If-Range"] = version
    transfer = pooch.HTTPDownloader(chunk_size=_BLOCK, headers=headers, timeout=_TIMEOUT, hooks={"response": prepare})
    try:
        transfer(url, partial, None)
    except requests.HTTPError as error:
        response: Any = error.response
        message = f"HTTP status {response.status_code} {response.reason}"
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{partial.size}":
                return  # nothing is missing
            partial.restart()
        is_final = response.status_code < 500 and response.status_code not in _AGAIN  # noqa: PLR2004 - server errors
        raise (GoneError if is_final else OSError)(message) from error
    except (requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
        raise GoneError(str(error)) from error
    finally:
        for response in responses:  # pooch leaves the last one open if it fails
            response.close()


def _prepare(url: str, response: Any, partial: Partial) -> None:
    """Make the partial file end where the response begins."""
    start, total = 0, response.headers.get("Content-Length")
    if response.status_code == 206:  # noqa: PLR2004 - Partial Content
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start, total = (int(found[1]), found[2]) if found else (-1, "*")
    if start != partial.size:
        partial.restart()
        if start != 0:
            message = f"HTTP range {response.headers.get('Content-Range')!r} isn't the one that was asked for"
            raise OSError(message)
    if partial.max_bytes is not None and str(total).isdigit() and int(total) != partial.max_bytes:
        message = f"{int(total):,} bytes, and must have {partial.max_bytes:,}"
        raise WrongContentError(message)
    etag = response.headers.get("ETag", "")
    version = response.headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if version:
        partial.set_version(url, version)
