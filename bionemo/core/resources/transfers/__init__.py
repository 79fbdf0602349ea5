"""How the file of a URL gets here, by the URL's scheme."""

from collections.abc import Callable
from typing import Final

from bionemo.core.resources.transfers.http import fetch_http
from bionemo.core.resources.transfers.hubs import fetch_hf, fetch_ngc
from bionemo.core.resources.transfers.local import fetch_local, fetch_packaged
from bionemo.core.resources.transfers.object_store import fetch_pbss, fetch_s3
from bionemo.core.resources.transfers.partial import Partial

__all__ = ["OFFLINE_SOURCES", "TRANSFERS"]

TRANSFERS: Final[dict[str, Callable[[str, Partial], None]]] = {
    "file": fetch_local,
    "hf": fetch_hf,
    "http": fetch_http,
    "https": fetch_http,
    "ngc": fetch_ngc,
    "package": fetch_packaged,
    "pbss": fetch_pbss,
    "s3": fetch_s3,
}
"""Functions that append to a partial file what is missing of a URL's content, by scheme."""

OFFLINE_SOURCES: Final = ("file", "package")
"""Schemes that need no network."""
