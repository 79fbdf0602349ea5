"""A folder with shards that were fetched: each is whole or isn't there, whatever is killed and whoever shares it."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from bionemo.core.extras import require
from bionemo.data.sources.remote.shards import Shard, ShardFile

__all__ = ["ShardCache"]

_TRIES: Final = 4
"""Times that a file is fetched, if the connection breaks or the bytes are wrong."""
_WAIT = 0.25
"""Seconds before a file is fetched again; four times as long before each further time."""
_DEAD_AFTER: Final = 60 * 60
"""Seconds without a write after which what a killed process has left is removed."""


@attrs.frozen
class ShardCache:
    """A folder that holds shards, up to a number of bytes.

    A shard is a folder named by the digest of its content. It is fetched under another name, checked, and renamed; a
    lock keeps other processes from fetching it, too. So what has its name is whole and right, and is never written to.

    Args:
        folder: where shards are kept.
        max_bytes: size of all shards together; one that is larger is still fetched. None for no limit.
    """

    folder: Path
    max_bytes: int | None = None

    def path_of(self, shard: Shard, /) -> Path:
        """Return the path of a shard's first file, whether or not it is there."""
        return self.folder / shard.digest[:32] / Path(shard.files[0].name).name

    def fetch(self, shard: Shard, base: str, /, *, options: Mapping[str, Any], keep: Sequence[str] = ()) -> Path:
        """Return the path of a shard's first file, after fetching the shard if it isn't there.

        Args:
            shard: what to fetch.
            base: URL of the manifest's folder.
            options: arguments of fsspec's file system, e.g. `{"endpoint_url": ...}` for S3.
            keep: digests of shards that will be needed, the next one first: they are evicted last, in reverse order.

        Raises:
            ValueError: if the bytes are not those that the manifest names.
            OSError: if it can't be fetched; the message says what is in the cache.
        """
        path = self.path_of(shard)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with require("filelock", extra="remote").FileLock(f"{path.parent}.lock"):
                if not path.exists():
                    self._make_room(shard.num_bytes, keep)
                    self._fetch(shard, base, options)
        self.mark_used(shard)
        return path

    def mark_used(self, shard: Shard, /) -> None:
        """Note that a shard is used now: what was used long ago is evicted first.

        Raises:
            FileNotFoundError: if another process has evicted it.
        """
        os.utime(self.path_of(shard).parent)

    def _fetch(self, shard: Shard, base: str, options: Mapping[str, Any]) -> None:
        whole = self.path_of(shard).parent
        partial = whole.with_name(f".{whole.name}.{secrets.token_hex(4)}.partial")
        partial.mkdir()
        try:
            for file in shard.files:
                _fetch_file(file, f"{base}/{file.name}", partial / Path(file.name).name, options)
            partial.rename(whole)
        except OSError as error:
            num_here = len(self._shards())
            message = (
                f"{base}/{shard.files[0].name} can't be fetched, and isn't among the {num_here} shards in "
                f"{self.folder}: {type(error).__name__}: {error}"
            )
            raise OSError(message) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _shards(self) -> list[Path]:
        return [path for path in self.folder.glob("[!.]*") if path.is_dir()]

    def _make_room(self, num_bytes: int, keep: Sequence[str]) -> None:
        """Remove shards until another one fits: those that nobody asked for, the oldest first, then by their turn."""
        for dead in self.folder.glob(".*.partial"):
            if time.time() - _time_of(dead) > _DEAD_AFTER:
                shutil.rmtree(dead, ignore_errors=True)
        if self.max_bytes is None:
            return
        turns = {digest[:32]: number for number, digest in enumerate(keep)}
        shards = sorted(self._shards(), key=lambda path: (-turns.get(path.name, len(turns)), _time_of(path)))
        sizes = {path: _size_of(path) for path in shards}
        total = sum(sizes.values()) + num_bytes
        for path in shards:
            if total <= self.max_bytes:
                return
            # Renamed first: a process that opens it meanwhile finds all of it or nothing.
            gone = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
            try:
                path.rename(gone)
            except OSError:  # another process was faster
                continue
            shutil.rmtree(gone, ignore_errors=True)
            total -= sizes[path]


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size_of(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in path.iterdir())
    except FileNotFoundError:
        return 0


def _fetch_file(file: ShardFile, url: str, path: Path, options: Mapping[str, Any]) -> None:
    """Fetch a file, and again if the connection breaks or the bytes are wrong."""
    fsspec = require("fsspec", extra="remote")
    for number in range(_TRIES):
        try:
            system, where = fsspec.core.url_to_fs(url, **options)
            system.get_file(where, str(path))
            _check(file, url, path)
            os.utime(path, (0, 0))  # fetched again after an eviction, it is the same file to who has opened it
        except FileNotFoundError:
            raise
        except Exception as error:
            if number == _TRIES - 1:
                if isinstance(error, ValueError | OSError):
                    raise
                message = f"{type(error).__name__}: {error}"  # e.g. of aiohttp
                raise OSError(message) from error
            time.sleep(_WAIT * 4**number)
        else:
            return


def _check(file: ShardFile, url: str, path: Path) -> None:
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    if (size, digest.hexdigest()) != (file.num_bytes, file.sha256):
        message = (
            f"{url} must have {file.num_bytes:,} bytes with sha256 {file.sha256[:12]}..., as its manifest says, got "
            f"{size:,} bytes with {digest.hexdigest()[:12]}...: it was damaged on its way, or replaced."
        )
        raise ValueError(message)
