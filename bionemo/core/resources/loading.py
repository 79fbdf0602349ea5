"""Load a resource: its path in the cache, downloaded, verified and unpacked if it isn't there."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final

from bionemo.core.resources.fetching import fetch, is_offline
from bionemo.core.resources.limits import UnpackLimits
from bionemo.core.resources.marks import has_marked_content, is_unchanged, mark, refresh, sha256_of, unmark
from bionemo.core.resources.reading import find_resource
from bionemo.core.resources.resource import Resource, check_type, short, source_of
from bionemo.core.resources.store import (
    cache_root,
    content_folder,
    download_path,
    is_read_only,
    locked,
    partial_path,
    path_in_2x,
    result_path,
    touch_used,
)
from bionemo.core.resources.transfers import OFFLINE_SOURCES
from bionemo.core.resources.unpacking import decompress, unpack

__all__ = ["cached_path", "load", "verify_cached"]

_DEFAULT_LIMITS: Final = UnpackLimits()


def load(
    tag: str,
    *,
    resources: Mapping[str, Any] | None = None,
    cache_dir: Path | str | None = None,
    source: str | None = None,
    verify: bool = False,
    limits: UnpackLimits = _DEFAULT_LIMITS,
) -> Path:
    """Return the path of a resource in the cache, after downloading it if it isn't there.

    Law: the path is that of exactly the bytes whose digest the resource names, or of what they unpack to. This is so
    whatever is killed, cut or full, and however many processes ask at once: one downloads, the others wait. A file is
    hashed once; afterwards its size, times and inode tell that it is the same. A changed one is replaced.

    Args:
        tag: `file/name` of the resource.
        resources: resources by tag; by default all that are installed, `get_all_resources()`.
        cache_dir: folder of the cache; by default `BIONEMO_CACHE_DIR`.
        source: the scheme of the URLs that are used, e.g. "https" or "ngc"; by default all, in the resource's order.
        verify: hash all files again.
        limits: what unpacking may write.

    Returns:
        The file; for a resource that is unpacked, the folder with what the archive holds.

    Raises:
        TypeError: if an argument has another type.
        ValueError: if there is no such tag or source, if every URL gave wrong bytes, or if the archive is damaged,
            hostile or beyond the limits.
        OSError: if no URL gave the file; if BIONEMO_OFFLINE=1 and it isn't in the cache; if the disk is full or
            read-only. The message has a line per URL.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     load("proteins/swissprot_2k", cache_dir=cache).name
        'swissprot_2k.fasta.gz'
    """
    check_type(source, (str, NoneType), "source must be the scheme of a URL, got source=")
    check_type(verify, bool, "verify must be True or False, got verify=")
    check_type(limits, UnpackLimits, "limits must be UnpackLimits, got limits=")
    root = cache_root(cache_dir)
    resource = find_resource(tag, resources)
    urls = _urls_from(resource, source)
    folder, path = content_folder(root, resource.sha256), result_path(root, resource)
    touch_used(folder)  # before the look: `prune` looks again
    if not verify and is_unchanged(path):
        return path
    try:
        with locked(folder):
            _make(resource, urls, root, verify=verify, limits=limits)
            touch_used(folder)
    except OSError as error:
        if not is_read_only(error):
            raise
        if not _is_right(resource, root):  # a copy on a read-only disk has other inodes, and is right
            message = f"{tag} isn't in the cache, which can't be written to. Choose another by cache_dir"
            raise OSError(error.errno, message, error.filename or str(root)) from error
    return path


def cached_path(
    tag: str, *, resources: Mapping[str, Any] | None = None, cache_dir: Path | str | None = None
) -> Path | None:
    """Return the path of a resource if it is in the cache, as it was verified; otherwise None. Nothing is downloaded.

    Raises:
        ValueError: if there is no such tag.
        OSError: if the cache can't be read.

    Example:
        >>> cached_path("proteins/swissprot_2k", cache_dir="/nowhere") is None
        True
    """
    path = result_path(cache_root(cache_dir), find_resource(tag, resources))
    return path if is_unchanged(path) else None


def verify_cached(
    tag: str, *, resources: Mapping[str, Any] | None = None, cache_dir: Path | str | None = None
) -> bool | None:
    """Hash all files of a resource in the cache: return whether they are right, or None if it isn't there.

    Files that are wrong are replaced by the next `load`, however they look.

    Raises:
        ValueError: if there is no such tag.
        OSError: if the cache can't be read.

    Example:
        >>> verify_cached("proteins/swissprot_2k", cache_dir="/nowhere") is None
        True
    """
    resource = find_resource(tag, resources)
    root = cache_root(cache_dir)
    path = result_path(root, resource)
    if not path.exists():
        return None
    if not (is_right := _is_right(resource, root)):
        unmark(path)
    return is_right


def _urls_from(resource: Resource, source: str | None) -> list[str]:
    urls = [url for url in resource.urls if source in {None, source_of(url)}]
    if not urls:
        found = ", ".join(sorted(set(map(source_of, resource.urls))))
        message = f"source must be one of {found} for {resource.tag}, got source={short(source)}."
        raise ValueError(message)
    return urls


def _is_right(resource: Resource, root: Path) -> bool:
    """Return whether the result is in the cache and has the right bytes; all are read."""
    path = result_path(root, resource)
    if resource.processing == "none":
        return path.is_file() and sha256_of(path) == resource.sha256
    return has_marked_content(path)


def _make(resource: Resource, urls: list[str], root: Path, *, verify: bool, limits: UnpackLimits) -> None:
    """Make the result and its mark right, under the lock of the content."""
    path = result_path(root, resource)
    if not verify and is_unchanged(path):  # another process was faster
        return
    download = download_path(root, resource)
    for folder in {path.parent, download.parent}:
        _remove_partials(folder, keep=partial_path(download))
    if _is_right(resource, root):
        if not is_unchanged(path):
            refresh(path)
        return
    unmark(path)
    if not download.is_file() or sha256_of(download) != resource.sha256:
        _download(resource, urls, root)
    if resource.processing != "none":
        path.parent.mkdir(exist_ok=True)
        (unpack if resource.processing == "unpack" else decompress)(download, path, limits)
        mark(path)


def _download(resource: Resource, urls: list[str], root: Path) -> None:
    """Make the downloaded file right; until then, an earlier one stays."""
    path = download_path(root, resource)
    is_damaged = path.exists()
    local = [other for other in path.parent.glob("[!.]*") if other != path and is_unchanged(other)]
    local += [other for other in [path_in_2x(root, resource)] if other.is_file()]
    if is_offline() and not local and all(source_of(url) not in OFFLINE_SOURCES for url in urls):
        state = "was changed after it had been verified" if is_damaged else "isn't in the cache"
        message = f"{resource.tag} {state} ({path}), and BIONEMO_OFFLINE forbids to download it."
        raise OSError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    fetch(resource, [*(other.as_uri() for other in local), *urls], partial)
    partial.replace(path)
    mark(path)


def _remove_partials(folder: Path, *, keep: Path) -> None:
    """Remove what killed processes have left, but for a download: nobody else writes here, under the lock."""
    for partial in folder.glob(".*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        elif partial != keep:
            partial.unlink(missing_ok=True)
