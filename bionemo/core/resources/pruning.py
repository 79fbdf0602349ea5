"""Remove from the cache what wasn't used for long, and what was never completed."""

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, SupportsFloat

from bionemo.core.resources.resource import check_type, short
from bionemo.core.resources.store import cache_root, locked, used_path

__all__ = ["Pruned", "prune"]


class Pruned(NamedTuple):
    """What `prune` has removed: the folder of a content, or a partial file or folder.

    Args:
        path: where it was.
        num_bytes: how many bytes it had.
        days: how long ago it was last used.
    """

    path: Path
    num_bytes: int
    days: float


def prune(
    *, older_than: SupportsFloat, cache_dir: Path | str | None = None, dry_run: bool = False
) -> tuple[Pruned, ...]:
    """Remove the contents that no `load` has asked for since some time, and all that is partial, and return them.

    What another process downloads or unpacks now is left alone. Files that are open stay readable, but a run of many
    days that opens files again should load them again, too.

    Args:
        older_than: seconds since the last use.
        cache_dir: folder of the cache; by default `BIONEMO_CACHE_DIR`.
        dry_run: remove nothing.

    Raises:
        TypeError: if an argument has another type.
        ValueError: if older_than is negative.
        OSError: if the cache can't be written to.

    Example:
        >>> prune(older_than=0, cache_dir="/nowhere")
        ()
    """
    message = f"older_than must be a number of seconds of at least 0, got older_than={short(older_than)}."
    is_bool = type(older_than).__name__ in {"bool", "bool_"}  # NumPy's, too, which isn't imported here
    if is_bool or not isinstance(older_than, SupportsFloat):
        raise TypeError(message)
    try:
        seconds = float(older_than)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(message) from error
    if not seconds >= 0:
        raise ValueError(message)
    check_type(dry_run, bool, "dry_run must be True or False, got dry_run=")
    root = cache_root(cache_dir)
    found: list[Pruned] = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.name.startswith(".") and folder.suffix == ".partial":  # of a killed `prune`
            found.append(_remove(folder, dry_run=dry_run))
        elif re.fullmatch("[0-9a-f]{64}", folder.name):
            try:
                with locked(folder, timeout=0):
                    found.extend(_prune_content(folder, seconds, dry_run=dry_run))
            except TimeoutError:
                continue
    return tuple(found)


def _prune_content(folder: Path, older_than: float, *, dry_run: bool) -> Iterator[Pruned]:
    """Yield what is removed of a content, under its lock."""
    if time.time() - _last_use(folder) <= older_than:
        for partial in [path for part in ("download", "decompressed", "unpacked") for path in _partials(folder / part)]:
            yield _remove(partial, dry_run=dry_run)
    elif dry_run:
        yield _remove(folder, dry_run=True)
    else:
        # Renamed first: at no time is a part of it visible.
        gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
        folder.rename(gone)
        if time.time() - _last_use(gone) <= older_than:  # `load` has found it meanwhile
            gone.rename(folder)
        else:
            yield _remove(gone, dry_run=False)._replace(path=folder)


def _partials(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob(".*.partial*")) if not path.name.endswith(".verified")]


def _last_use(folder: Path) -> float:
    path = used_path(folder)
    return (path if path.exists() else folder).stat().st_mtime


def _remove(path: Path, *, dry_run: bool) -> Pruned:
    is_folder = path.is_dir() and not path.is_symlink()
    files = [part for part in path.rglob("*") if not part.is_dir() or part.is_symlink()] if is_folder else [path]
    removed = Pruned(path, sum(part.lstat().st_size for part in files), (time.time() - path.stat().st_mtime) / 86400)
    removed = removed._replace(days=(time.time() - _last_use(path)) / 86400) if is_folder else removed
    if not dry_run:
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return removed
