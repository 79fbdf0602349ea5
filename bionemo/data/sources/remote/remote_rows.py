"""Data sets on other machines, read shard by shard."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core import BIONEMO_CACHE_DIR
from bionemo.core.arrays import groups
from bionemo.core.checks import IntArray, check_int, shown
from bionemo.core.extras import require
from bionemo.core.fields import check_instance
from bionemo.core.files import to_path, write_atomically
from bionemo.data.reading.functions import check_function
from bionemo.data.reading.indexed import Indexed
from bionemo.data.reading.read import fetch
from bionemo.data.sources.opened import Opened
from bionemo.data.sources.remote.shard_cache import ShardCache
from bionemo.data.sources.remote.shards import Shard, parse_manifest

__all__ = ["RemoteRows"]

_NUM_OPEN: Final = 32
"""Shards that a thread keeps open."""
_TRIES: Final = 3
"""Times that a shard is opened, if another process evicts it meanwhile."""


def _check_max_bytes(max_bytes: Any) -> int | None:
    return None if max_bytes is None else check_int(max_bytes, name="max_bytes", low=1)


def _to_cache(cache: Any) -> Path:
    return to_path(cache, name="cache")


def _read_manifest(rows: Any) -> tuple[Shard, ...]:
    """Return the shards; if the manifest can't be fetched, those that it named last time."""
    fsspec = require("fsspec", extra="remote")
    if not isinstance(rows.manifest, str):
        message = f"manifest must be a URL, got manifest={shown(rows.manifest)} of type {type(rows.manifest).__name__}."
        raise TypeError(message)
    try:
        url = rows.manifest.encode()
    except UnicodeEncodeError as error:
        message = f"manifest must be a URL, got manifest={shown(rows.manifest)}: {error.reason}."
        raise ValueError(message) from error
    copy = rows.cache / f"{hashlib.sha256(url).hexdigest()[:32]}.json"
    try:
        with fsspec.open(rows.manifest, "rb", **rows.options) as file:
            content = file.read()
    except Exception as error:
        if not copy.exists():
            message = (
                f"{rows.manifest} can't be fetched, and no copy of it is in {rows.cache}: "
                f"{type(error).__name__}: {error}"
            )
            raise OSError(message) from error
        content = copy.read_bytes()
    shards = parse_manifest(content.decode(), name=rows.manifest)
    rows.cache.mkdir(parents=True, exist_ok=True)
    if not copy.exists() or copy.read_bytes() != content:
        write_atomically(copy, lambda file: file.write(content))
    return shards


@attrs.frozen(repr=False)
class RemoteRows(Indexed):
    """The samples of shards on another machine: S3, HTTP, or anything else that fsspec reads.

    A shard is fetched whole when a sample of it is needed, or before: a loader tells which samples its next batches
    need. It is kept in a folder that processes and runs share, and its size and digest are checked. With a
    `BlockShuffleOrder` whose blocks are shards, each shard is fetched once per epoch if the folder holds two windows.

    Law: the samples are those of `opener(path)` for each shard in turn, or an error is raised.

    Args:
        manifest: URL of a `manifest.json` that `write_manifest` has written; the shards are beside it.
        opener: opens the first file of a shard, e.g. `TableRows` or `TokenFile`; must pickle.
        cache: folder for shards; by default `shards` in `BIONEMO_CACHE_DIR`.
        max_bytes: size of the folder: shards are evicted, those that will be needed last first. None for no limit.
        options: arguments of fsspec's file system, e.g. `{"anon": True}` for S3.

    Raises:
        OSError: if the manifest or a shard can't be fetched, and isn't in the folder.
        ValueError: if a shard isn't what the manifest says, or the manifest isn't one.
        ModuleNotFoundError: if what a protocol needs isn't installed.

    Example:
        >>> import tempfile
        >>> from bionemo.data.sources import TokenFile, write_manifest, write_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_tokens(f"{folder}/a", [[5, 6], [7]], dtype="uint8")
        ...     _ = write_manifest(folder, [(f"{folder}/a.bin", f"{folder}/a.idx")], opener=TokenFile)
        ...     rows = RemoteRows(f"file://{folder}/manifest.json", opener=TokenFile, cache=f"{folder}/cache")
        ...     rows[1]
        array([7], dtype=uint8)
    """

    manifest: str = attrs.field(validator=check_instance(str))
    opener: Callable[[Path], Any] = attrs.field(kw_only=True)
    cache: Path = attrs.field(default=BIONEMO_CACHE_DIR / "shards", converter=_to_cache, kw_only=True)
    max_bytes: int | None = attrs.field(default=None, converter=_check_max_bytes, kw_only=True)
    options: Mapping[str, Any] = attrs.field(factory=dict, validator=check_instance(Mapping), kw_only=True, eq=False)
    shards: tuple[Shard, ...] = attrs.field(init=False, default=attrs.Factory(_read_manifest, takes_self=True))

    @opener.validator
    def _check_opener(self, _: "attrs.Attribute[Any]", opener: Any) -> None:
        check_function(opener, name="opener")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the shards' contents, wherever they are."""
        return hashlib.sha256(repr([shard.digest for shard in self.shards]).encode()).hexdigest()

    @cached_property
    def _stops(self) -> IntArray:
        return np.array(list(accumulate(shard.num_samples for shard in self.shards)), dtype=np.int64)

    def __len__(self) -> int:
        return int(self._stops[-1])

    def chunk_of(self, idx: IntArray, /) -> IntArray:
        """Return the number of the shard that each sample is in."""
        return np.searchsorted(self._stops, idx, side="right")

    def prefetch(self, idx: IntArray, /) -> None:
        """Begin to fetch the shards of samples that will be read next, and return at once."""
        numbers = np.unique(self.chunk_of(idx)).tolist()
        self._ahead.begin([self.shards[number] for number in numbers])

    @cached_property
    def _ahead(self) -> "_Ahead":
        return _Ahead(self._fetch)

    @property
    def _cache(self) -> ShardCache:
        return ShardCache(self.cache, self.max_bytes)

    def _fetch(self, shard: Shard) -> Path:
        base = self.manifest.rpartition("/")[0]
        keep = [one.digest for one in (*self._ahead.current, *self._ahead.following)]
        return self._cache.fetch(shard, base, options=self.options, keep=keep)

    @cached_property
    def _open(self) -> Opened["OrderedDict[int, Any]"]:
        return Opened(OrderedDict)

    def read_many(self, indices: IntArray, /) -> list[Any]:
        """Return the samples at indices in one axis, which are not checked."""
        samples: list[Any] = [None] * len(indices)
        for number, members in groups(self.chunk_of(indices)):
            rows = indices[members] - (self._stops[number - 1] if number else 0)
            for member, sample in zip(members.tolist(), self._read(number, rows), strict=True):
                samples[member] = sample
        return samples

    def _read(self, number: int, rows: IntArray) -> Any:
        """Return samples of a shard; if another process evicts it meanwhile, it is fetched again."""
        opened = self._open.get()
        for tries_left in reversed(range(_TRIES)):
            try:
                if number not in opened:
                    opened[number] = self._open_shard(number)
                self._cache.mark_used(self.shards[number])
                opened.move_to_end(number)
                if len(opened) > _NUM_OPEN:
                    opened.popitem(last=False)
                return fetch(opened[number], rows)
            except FileNotFoundError:
                opened.pop(number, None)
                if not tries_left:
                    raise
        raise AssertionError

    def _open_shard(self, number: int) -> Any:
        shard = self.shards[number]
        dataset = self.opener(self._fetch(shard))
        if len(dataset) != shard.num_samples:
            message = f"opener must open {shard.num_samples} samples, as the manifest says, got {len(dataset)}."
            raise ValueError(message)
        return dataset

    def __repr__(self) -> str:
        return f"RemoteRows({self.manifest!r}, {len(self):,} samples in {len(self.shards):,} shards)"


class _Ahead:
    """Shards that are fetched ahead of use, by threads that don't keep this process from ending."""

    def __init__(self, fetch: Callable[[Shard], Path]) -> None:
        self._fetch = fetch
        self.current: list[Shard] = []
        """Shards that are being read: they were begun before."""
        self.following: list[Shard] = []
        """Shards that are needed next."""

    def begin(self, shards: list[Shard]) -> None:
        """Begin to fetch shards."""
        self.current, self.following = self.following, shards
        threading.Thread(target=self._fetch_all, args=(shards,), daemon=True).start()

    def _fetch_all(self, shards: list[Shard]) -> None:
        for shard in shards:
            with suppress(Exception):  # raised when the shard is read
                self._fetch(shard)
