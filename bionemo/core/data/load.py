"""The module path of bionemo-core 2.x for `bionemo.core.resources`: load by tag, from NGC or PBSS."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from bionemo.core import resources as new
from bionemo.core.extras import require
from bionemo.core.resources.reading import find_resource
from bionemo.core.resources.resource import source_of
from bionemo.core.resources.transfers.hubs import default_ngc_client, fetch_ngc_file
from bionemo.core.resources.transfers.object_store import PBSS_ENDPOINT

__all__ = ["NGCDownloader", "default_ngc_client", "default_pbss_client", "entrypoint", "load"]

_SOURCES: Final = ("ngc", "pbss")
_DEFAULT_SOURCE: Final = os.environ.get("BIONEMO_DATA_SOURCE", "ngc")


def load(
    model_or_data_tag: str,
    source: str = _DEFAULT_SOURCE,
    resources: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
) -> Path:
    """Return the path of a resource in the cache, as `bionemo.core.resources.load`, with the signature of 2.x.

    Args:
        model_or_data_tag: `file/name` of the resource.
        source: "ngc" or "pbss"; by default what the environment variable BIONEMO_DATA_SOURCE says, or "ngc". A resource
            that is at neither is loaded from where it is.
        resources: resources by tag, of 2.x or not; by default all that are installed.
        cache_dir: folder of the cache; by default `BIONEMO_CACHE_DIR`.

    Returns:
        The file, decompressed if it was compressed; for an archive, the folder with what it holds.

    Raises:
        ValueError: if there is no such tag or source, or the resource isn't at this source, or its bytes are wrong.
        OSError: if it can't be downloaded.

    Example:
        >>> load("no/such")
        Traceback (most recent call last):
        ValueError: Resource 'no/such' not found. There are 32 others.
    """
    resource = find_resource(model_or_data_tag, resources)
    if source not in _SOURCES:
        message = f"Source {source!r} not supported. source must be 'ngc' or 'pbss'."
        raise ValueError(message)
    sources = set(map(source_of, resource.urls))
    if source not in sources and sources & {*_SOURCES}:
        message = (
            f"Resource {model_or_data_tag!r} does not have an {source.upper()} URL. Its sources: {sorted(sources)}."
        )
        raise ValueError(message)
    chosen = source if source in sources else None
    return new.load(resource.tag, resources={resource.tag: resource}, cache_dir=cache_dir, source=chosen)


def default_pbss_client() -> Any:
    """Return a boto3 client of PBSS, the S3 storage of 2.x, with the credentials of the AWS tools.

    Raises:
        ModuleNotFoundError: if boto3 isn't installed.

    Example:
        >>> default_pbss_client().meta.endpoint_url  # doctest: +SKIP
        'https://pbss.s8k.io'
    """
    boto3 = require("boto3", extra="pbss")
    config = require("botocore.config", extra="pbss").Config
    retries = config(signature_version="s3v4", retries={"max_attempts": 10, "mode": "standard"})
    return boto3.client("s3", endpoint_url=PBSS_ENDPOINT, config=retries)


@attrs.frozen
class NGCDownloader:
    """A downloader for `pooch.retrieve(downloader=...)` that takes one file of a model or resource of NGC.

    Args:
        filename: name of the file.
        ngc_registry: "model" or "resource".
    """

    filename: str
    ngc_registry: str = attrs.field(validator=attrs.validators.in_(("model", "resource")))

    def __call__(self, url: str, output_file: str | Path, _: Any) -> None:
        """Download the file of `[ORG/[TEAM/]]NAME[:VERSION]` to a path."""
        import tempfile  # noqa: PLC0415 - only needed here

        target = Path(output_file)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            fetch_ngc_file(url, self.filename, self.ngc_registry, folder).replace(target)


def entrypoint() -> None:
    """Run `download_bionemo_data`, the command of 2.x: print the path of a resource, or list all.

    Raises:
        SystemExit: with 1 and one line on stderr if a resource can't be loaded.

    Example:
        >>> entrypoint()  # doctest: +SKIP
    """
    parser = argparse.ArgumentParser(description="Print the path of a resource, after downloading it if needed.")
    parser.add_argument("artifact_name", nargs="?", help="tag of the resource")
    parser.add_argument("--list-resources", action="store_true", help="list all resources and their sources")
    parser.add_argument(
        "--source", choices=_SOURCES, default=_DEFAULT_SOURCE, help="where to download from (default: %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="download all resources")
    options = parser.parse_args()
    if not (options.artifact_name or options.list_resources or options.all):
        parser.error("one of the arguments artifact_name --list-resources --all is required")
    known = new.get_all_resources()
    try:
        if options.list_resources:
            lines = [f"{tag}\t{','.join(map(source_of, known[tag].urls))}" for tag in sorted(known)]
            print("#resource_name\tsource_options", *lines, sep="\n")  # noqa: T201 - a command line
            return
        for tag in sorted(known) if options.all else [options.artifact_name]:
            source = "pbss" if options.all and options.source not in map(source_of, known[tag].urls) else options.source
            print(load(tag, source=source), flush=True)  # noqa: T201
    except (OSError, ValueError) as error:
        sys.exit(f"download_bionemo_data: {error}")
