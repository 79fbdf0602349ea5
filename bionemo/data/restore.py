"""Orders from their JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.utils.frozen_array import FrozenArray
from bionemo.data.block_order import BlockOrder
from bionemo.data.epoch_order import EpochOrder
from bionemo.data.length_order import LengthOrder
from bionemo.data.mixture import MixtureOrder
from bionemo.data.order import ALGORITHM_VERSION, Order
from bionemo.data.record import SMALL_ARRAY, to_record, type_name
from bionemo.data.resamplers import ResampleOrder, WeightedOrder

__all__ = ["from_json", "from_record", "large_arrays"]

_KINDS = (BlockOrder, EpochOrder, LengthOrder, MixtureOrder, ResampleOrder, WeightedOrder)


def large_arrays(order: Order, /) -> dict[str, NDArray[Any]]:
    """Return the arrays that an order's JSON holds by digest alone: those of more than 64 elements.

    Returns:
        Read-only arrays by sha256, ready for `numpy.savez` and, with what is loaded from there, for `from_json`.

    Example:
        >>> from bionemo.data import WeightedOrder
        >>> [len(array) for array in large_arrays(WeightedOrder(weights=range(100), seed=7)).values()]
        [100]
    """
    found: dict[str, NDArray[Any]] = {}
    parts: list[Any] = [order]
    for part in parts:  # grows while it is gone through
        if isinstance(part, FrozenArray) and part.array.size > SMALL_ARRAY:
            found[part.digest] = part.array
        elif isinstance(part, tuple | list):
            parts.extend(part)
        elif attrs.has(type(part)):
            parts.extend(getattr(part, field.name) for field in attrs.fields(type(part)))
    return found


def from_json(text: str, *, arrays: Mapping[str, Any] | None = None, kinds: Sequence[type] = ()) -> Any:
    """Return the order that a JSON text was made from.

    Law: `from_json(to_json(order), arrays=large_arrays(order)) == order`.

    Args:
        text: what `to_json` gave.
        arrays: arrays by digest, as `large_arrays` gave them.
        kinds: attrs classes of your own that may occur in the text.

    Raises:
        ValueError: if the text is no JSON of an order, was written by another version of the algorithms (the indices
            would differ), names a class that is not known, or an array is missing or not the one that was written.

    Example:
        >>> from bionemo.data import EpochOrder, to_json
        >>> from_json(to_json(EpochOrder(length=10, seed=7)))
        EpochOrder(length=10, seed=7, num_samples=None, shuffle=True)
    """
    record = json.loads(text)
    if not isinstance(record, dict) or record.keys() != {"algorithm", "order"} or not isinstance(record["order"], dict):
        message = f"text must be the JSON of an order, made by to_json, got {text[:80]!r}."
        raise ValueError(message)
    return from_record(record, arrays=arrays, kinds=kinds)


def from_record(
    record: Mapping[str, Any], *, arrays: Mapping[str, Any] | None = None, kinds: Sequence[type] = ()
) -> Any:
    """Return the order of a record that holds it, and the version of the algorithms: a pipeline's, for one.

    Args:
        record: has the fields `algorithm` and `order`, as `pipeline_record` gives them.
        arrays: arrays by digest, as `large_arrays` gave them.
        kinds: attrs classes of your own that may occur in the record.

    Raises:
        ValueError: as `from_json`.

    Example:
        >>> from_record({"algorithm": 2, "order": {"type": "EpochOrder", "length": 3, "seed": 7, "num_samples": None,
        ...     "shuffle": True}})
        EpochOrder(length=3, seed=7, num_samples=None, shuffle=True)
    """
    if record["algorithm"] != ALGORITHM_VERSION:
        message = (
            f"record must be of algorithm version {ALGORITHM_VERSION}, got version {record['algorithm']}, whose orders "
            "give other indices. Read it with the release that wrote it."
        )
        raise ValueError(message)
    known = {type_name(kind): kind for kind in (*_KINDS, *kinds)}
    order = _restore(record["order"], known, arrays or {})
    if not hasattr(order, "index_at"):
        message = f"record must hold an order, got {type(order).__name__}."
        raise ValueError(message)
    if to_record(order) != record["order"]:  # a field left out, or one that a converter changed
        message = f"record must be what an order gave, got {record['order']}, which restores as {order!r}."
        raise ValueError(message)
    return order


def _restore(record: Any, kinds: Mapping[str, type], arrays: Mapping[str, Any]) -> Any:
    if isinstance(record, list):
        return tuple(_restore(part, kinds, arrays) for part in record)
    if not isinstance(record, dict):
        return record
    name = str(record.get("type"))
    if name == "FrozenArray":
        return _restore_array(record, arrays)
    if name not in kinds:
        message = f"type must be one of {', '.join(sorted(kinds))}, got type={name!r}. Pass your own class in kinds."
        raise ValueError(message)
    fields = {key: _restore(value, kinds, arrays) for key, value in record.items() if key != "type"}
    try:
        return kinds[name](**fields)
    except TypeError as error:
        message = f"fields must be those of {name}, got {', '.join(fields)}: {error}"
        raise ValueError(message) from error


def _restore_array(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> FrozenArray:
    digest = str(record.get("sha256"))
    if "values" in record:
        try:
            array = FrozenArray(np.array(record["values"], dtype=record["dtype"]).reshape(record["shape"]))
        except (KeyError, TypeError, ValueError) as error:
            message = f"array must have values, dtype and shape that fit, got {record}: {error!r}."
            raise ValueError(message) from error
    elif digest in arrays:
        array = FrozenArray(np.asarray(arrays[digest]))
    else:
        message = f"arrays must hold the array of sha256={digest}, got {len(arrays)} others. See large_arrays."
        raise ValueError(message)
    if array.digest != digest:
        message = f"array must be the one that was written, of sha256={digest}, got {array!r}."
        raise ValueError(message)
    return array
