"""Files that hold the record of a pipeline, and the pipeline that they describe, without its data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import torch

from bionemo.core.checks import check_int, shown
from bionemo.core.record import parse_json
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import order_from_spec

__all__ = ["read_record", "restore_pipeline"]

_FIELDS: Final = ("algorithm", "order", "seed", "lengths", "batch_size", "drop_last")
"""Fields of a pipeline's record that the commands need."""
_MAX_BYTES: Final = 2**24
"""Largest JSON file that is read: one of 10,000 sources has a megabyte."""


def read_record(path: Path, /) -> Mapping[str, Any]:
    """Return the record of a pipeline in a file: JSON, or a checkpoint of torch.save or Lightning.

    Raises:
        ValueError: if the file can't be read, or holds no such record.

    Example:
        >>> read_record(Path("missing.json"))
        Traceback (most recent call last):
        ValueError: can't read missing.json: No such file or directory
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        # A checkpoint is a zip archive. Its tensors are mapped, not read, and only plain values are unpickled.
        is_archive = content.startswith(b"PK\x03\x04")
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True) if is_archive else _parse(content)
    except UnpicklingError as error:
        message = (
            f"can't read {path}: it holds objects that are neither tensors nor plain values, or is damaged. "
            "Write the loader's state_dict() as JSON instead."
        )
        raise ValueError(message) from error
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        message = f"can't read {path}: {getattr(error, 'strerror', None) or error}"
        raise ValueError(message) from error
    for part in _mappings(held):
        if all(name in part for name in _FIELDS):
            return part
    message = f"{path} must hold the record of a pipeline, with {', '.join(_FIELDS)}."
    raise ValueError(message)


def _parse(content: bytes) -> Any:
    if len(content) > _MAX_BYTES:
        message = f"it must be a checkpoint, or JSON of at most {_MAX_BYTES} bytes."
        raise ValueError(message)
    return parse_json(content.decode("utf-8"))


def _mappings(held: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in a file's content, those of a smaller depth first."""
    level, seen = [held], set[int]()
    while level:
        # An unpickled object may occur in many others, and in itself.
        new = {id(part): part for part in level if isinstance(part, Mapping | list | tuple) and id(part) not in seen}
        seen |= new.keys()
        yield from (part for part in new.values() if isinstance(part, Mapping))
        level = [inner for part in new.values() for inner in (part.values() if isinstance(part, Mapping) else part)]


def restore_pipeline(path: Path, record: Mapping[str, Any], arrays: Path | None, /) -> Pipeline[Any]:
    """Return a pipeline with a record's order, over ranges instead of data sets.

    Args:
        path: file of the record, for errors.
        record: what `read_record` returns.
        arrays: file of the arrays that the record names but doesn't hold, made by `numpy.savez`.

    Raises:
        ValueError: if an array is missing, or a value of the record is wrong.
        TypeError: if a value of the record has the wrong type.

    Example:
        >>> from bionemo.data import EpochOrder, pipeline_spec
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> restore_pipeline(Path("pipeline.json"), pipeline_spec(pipeline), None).sources
        (Source(range of 5),)
    """
    needed = {
        str(part.get("sha256")): None
        for part in _mappings(record["order"])
        if part.get("type") == "FrozenArray" and "values" not in part
    }
    order = order_from_spec(record, arrays=_read_arrays(path, list(needed), arrays))
    lengths = record["lengths"]
    if not isinstance(lengths, list) or len(lengths) != order.num_sources:
        message = f"lengths must be a list of {order.num_sources}, one per source of the order, got {shown(lengths)}."
        raise TypeError(message)
    return Pipeline(
        order=order,
        sources=tuple(range(check_int(length, name="lengths")) for length in lengths),
        batch_size=record["batch_size"],
        seed=record["seed"],
        drop_last=record["drop_last"],
    )


def _read_arrays(path: Path, digests: Sequence[str], arrays: Path | None) -> dict[str, Any]:
    """Return the arrays that an order needs, by digest."""
    found: dict[str, Any] = {}
    if arrays is not None:
        try:
            with np.load(arrays) as file:
                found = {digest: file[digest] for digest in digests if digest in file}
        except (OSError, EOFError, ValueError, TypeError, MemoryError, BadZipFile) as error:
            message = f"{arrays} must be a file of arrays, made by numpy.savez: {error}"
            raise ValueError(message) from error
    missing = [digest for digest in digests if digest not in found]
    if missing:
        message = (
            f"arrays must hold the array of sha256={missing[0][:64]}, which {path} names but doesn't hold (in all "
            f"{len(missing)} are missing). In the program that made the order, call numpy.savez('arrays.npz', "
            "**external_arrays(pipeline.order)); then pass --arrays arrays.npz."
        )
        raise ValueError(message)
    return found
