"""Shards: what a data set is made of on another machine, described by a manifest beside them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from bionemo.core.checked import checked
from bionemo.core.checks import shown
from bionemo.core.fields import check_instance
from bionemo.core.files import to_path, write_atomically

__all__ = ["Shard", "ShardFile", "parse_manifest", "write_manifest"]

_AT_ONCE: Final = 2**20
_NAME: Final = "manifest.json"


@attrs.frozen
class ShardFile:
    """A file of a shard.

    Args:
        name: path relative to the manifest, with slashes.
        num_bytes: size.
        sha256: digest of the content, in hexadecimal digits.
    """

    name: str = attrs.field(validator=check_instance(str))
    num_bytes: int = attrs.field(validator=check_instance(int))
    sha256: str = attrs.field(validator=check_instance(str))


@attrs.frozen
class Shard:
    """A part of a data set that is fetched whole.

    Args:
        num_samples: number of samples in it.
        files: its files; a function opens the first one, e.g. `TableRows`.
    """

    num_samples: int = attrs.field(validator=check_instance(int))
    files: tuple[ShardFile, ...]

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(file.num_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """Digest of the files' contents and names."""
        text = json.dumps([[Path(file.name).name, file.sha256] for file in self.files])
        return hashlib.sha256(text.encode()).hexdigest()


@checked
def write_manifest(folder: Any, shards: Iterable[Any], /, *, opener: Callable[[Path], Any]) -> Path:
    """Write `manifest.json`, which names the shards in a folder, their sizes and digests, and return its path.

    Then copy the folder to where it is read from, e.g. an S3 bucket. Each file is read once.

    Args:
        folder: folder that the shards are in.
        shards: path of each shard's file; a list of paths if it has several, e.g. the `.bin` and `.idx` of a
            `TokenFile`.
        opener: opens the first file as a data set, whose length is noted, e.g. `TableRows`.

    Raises:
        ValueError: if a file isn't in the folder, or there is no shard.
        FileNotFoundError: if a file is missing.

    Example:
        >>> import tempfile
        >>> from bionemo.data.sources import TokenFile, write_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [f"{folder}/{name}" for name in ("tokens.bin", "tokens.idx")]
        ...     _ = write_tokens(paths[0], [[5, 6], [7]], dtype="uint8")
        ...     path = write_manifest(folder, [paths], opener=TokenFile)
        ...     parse_manifest(path.read_text(), name="manifest")[0].num_samples
        2
    """
    root, found = to_path(folder, name="folder").absolute(), []
    for shard in shards:
        many = shard if isinstance(shard, list | tuple) else [shard]
        paths = [to_path(path, name="shards").absolute() for path in many]
        if not paths:
            message = f"shards must hold at least one file per shard, got {shown(shard)}."
            raise ValueError(message)
        files = tuple(_describe(path, root) for path in paths)
        found.append(Shard(len(opener(paths[0])), files))
    if not found:
        message = "shards must hold at least one shard, got none."
        raise ValueError(message)
    text = json.dumps({"shards": [attrs.asdict(shard) for shard in found]}, indent=1)
    write_atomically(root / _NAME, lambda file: file.write(text.encode()))
    return root / _NAME


def _describe(path: Path, root: Path) -> ShardFile:
    if not path.is_relative_to(root):
        message = f"shards must be in the folder, got {shown(str(path))} for folder={shown(str(root))}."
        raise ValueError(message)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            digest.update(part)
    return ShardFile(path.relative_to(root).as_posix(), path.stat().st_size, digest.hexdigest())


def parse_manifest(text: str, /, *, name: str) -> tuple[Shard, ...]:
    """Return the shards that a manifest names.

    Args:
        text: content of the manifest.
        name: name of the manifest, for errors.

    Raises:
        ValueError: if it isn't one.

    Example:
        >>> parse_manifest("{}", name="https://example.org/manifest.json")
        Traceback (most recent call last):
        ValueError: https://example.org/manifest.json must be a manifest as write_manifest writes it, got '{}'.
    """
    try:
        plain = json.loads(text)
        return tuple(
            Shard(shard["num_samples"], tuple(_file(file) for file in shard["files"])) for shard in plain["shards"]
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"{name} must be a manifest as write_manifest writes it, got {shown(text)}."
        raise ValueError(message) from error


def _file(plain: Mapping[str, Any]) -> ShardFile:
    file = ShardFile(plain["name"], plain["num_bytes"], plain["sha256"])
    if file.name.startswith("/") or ".." in file.name.split("/"):
        message = f"a shard's file must be beside the manifest, got {file.name!r}."
        raise ValueError(message)
    return file
