"""Orders and pipelines as records: JSON, fingerprints, and the fields in which two records differ."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bionemo.core import record as records
from bionemo.core.checked import checked
from bionemo.core.checks import shown
from bionemo.core.int64 import to_array
from bionemo.data.orders.block import BlockShuffleOrder
from bionemo.data.orders.by_cluster.balanced import BalancedOrder
from bionemo.data.orders.by_cluster.cluster_table import ClusterTable
from bionemo.data.orders.by_cluster.clusters import ClusterOrder
from bionemo.data.orders.by_length.length_grouped import LengthGroupedOrder
from bionemo.data.orders.by_length.packed import PackedOrder, TokenBudgetOrder
from bionemo.data.orders.by_weight.mixture import MixtureOrder
from bionemo.data.orders.by_weight.proportional import ProportionalOrder
from bionemo.data.orders.by_weight.weighted import WeightedOrder
from bionemo.data.orders.by_weight.weighted_epoch import WeightedEpochOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.epoch_batches import EpochBatchOrder
from bionemo.data.orders.kensler import KenslerOrder
from bionemo.data.orders.order import ALGORITHM_VERSION, Order
from bionemo.data.orders.planned_skip import PlannedSkipOrder
from bionemo.data.orders.resample import ResampleOrder
from bionemo.data.orders.skip import SkipOrder
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.reading.dataset import Source
from bionemo.data.reading.functions import function_name

__all__ = [
    "differences_as_text",
    "fingerprint",
    "fingerprint_of_spec",
    "from_json",
    "order_from_spec",
    "pipeline_spec",
    "record_differences",
    "to_json",
]

_ORDERS: Final = (
    *(
        BalancedOrder,
        BlockShuffleOrder,
        ClusterOrder,
        ClusterTable,
        EpochBatchOrder,
        EpochOrder,
        KenslerOrder,
        LengthGroupedOrder,
        MixtureOrder,
        PackedOrder,
        ProportionalOrder,
        PlannedSkipOrder,
        ResampleOrder,
        SkipOrder,
        TokenBudgetOrder,
    ),
    WeightedEpochOrder,
    WeightedOrder,
)


def to_json(record: Any, /) -> str:
    """Return an order, a pipeline or another record as canonical JSON.

    As `bionemo.core.record.to_json`, with the version of the algorithms added to an order. A pipeline is written as its
    `pipeline_spec`, which describes data sets and functions but doesn't contain them.

    Laws: `from_json(to_json(order), arrays=external_arrays(order)) == order`; equal records give equal text, in any
    process and on any machine.

    Raises:
        TypeError: if the record holds something that would not come back unchanged.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> to_json(EpochOrder(length=10, seed=7))
        '{"algorithm":3,"order":{"length":10,"num_samples":null,"seed":7,"shuffle":true,"type":"EpochOrder"}}'
    """
    if isinstance(record, Pipeline):
        return records.plain_to_json(pipeline_spec(record))
    versioned = {"algorithm": ALGORITHM_VERSION, "order": record} if isinstance(record, Order) else record
    return records.to_json(versioned)


def fingerprint(record: Any, /) -> str:
    """Return the sha256 of a record's canonical JSON: it identifies what an order, pipeline or configuration says.

    Law: equal records have equal fingerprints, in any process and on any machine; another field or another
    `ALGORITHM_VERSION` gives another one.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> fingerprint(EpochOrder(length=10, seed=7))[:12]
        '13f3c9cd224a'
    """
    return hashlib.sha256(to_json(record).encode()).hexdigest()


def fingerprint_of_spec(spec: Mapping[str, Any], /) -> str:
    """Return the fingerprint of the order in a pipeline's spec.

    Law: `fingerprint_of_spec(pipeline_spec(pipeline)) == fingerprint(pipeline.order)`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> fingerprint_of_spec(pipeline_spec(pipeline)) == fingerprint(pipeline.order)
        True
    """
    text = records.plain_to_json({name: spec.get(name) for name in ("algorithm", "order")})
    return hashlib.sha256(text.encode()).hexdigest()


@checked
def from_json(text: str, *, arrays: Mapping[str, Any] | None = None, kinds: Sequence[type] = ()) -> Any:
    """Return the order, or other record, of a JSON text.

    Args:
        text: what `to_json` returned.
        arrays: arrays by digest, as `external_arrays` returned them.
        kinds: attrs classes of your own that may occur in the text, in addition to the orders of this library.

    Raises:
        ValueError: if the text is not the JSON of a record, was written by another version of the algorithms (whose
            indices differ), names an unknown class, or an array is missing or not the one that was written.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from_json(to_json(EpochOrder(length=10, seed=7)))
        EpochOrder(length=10, seed=7, num_samples=None, shuffle=True)
    """
    plain = records.parse_json(text)
    if isinstance(plain, dict) and plain.keys() == {"algorithm", "order"}:
        return order_from_spec(plain, arrays=arrays, kinds=kinds)
    if not kinds:
        message = f"text must be the JSON of an order, made by to_json, got {shown(text)}."
        raise ValueError(message)
    return records.from_plain(plain, kinds=kinds, arrays=arrays)


def order_from_spec(
    spec: Mapping[str, Any], *, arrays: Mapping[str, Any] | None = None, kinds: Sequence[type] = ()
) -> Any:
    """Return the order of a spec with the fields `algorithm` and `order`, such as a `pipeline_spec`.

    Args:
        spec: plain values.
        arrays: arrays by digest, as `external_arrays` returned them.
        kinds: attrs classes of your own that may occur in the spec.

    Raises:
        ValueError: as `from_json`.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> order_from_spec(pipeline_spec(pipeline)) == pipeline.order
        True
    """
    if spec["algorithm"] != ALGORITHM_VERSION:
        message = (
            f"record must be of algorithm version {ALGORITHM_VERSION}, got version {shown(spec['algorithm'])}, whose "
            "orders or masks differ. Read it with the release that wrote it."
        )
        raise ValueError(message)
    order = records.from_plain(spec["order"], kinds=(*_ORDERS, *kinds), arrays=arrays)
    if not isinstance(order, Order):
        message = f"record must hold an order, got {shown(order)}."
        raise ValueError(message)  # noqa: TRY004 - it is the record that is wrong
    if records.to_plain(order) != spec["order"]:  # a field left out, or changed by a converter
        message = f"record must hold an order unchanged, got {shown(spec['order'])}, which restores as {shown(order)}."
        raise ValueError(message)
    return order


def _transform_name(source: Source) -> str | None:
    name = function_name(source.transform)
    return f"batched {name}" if source.batched else name


@checked
def pipeline_spec(pipeline: Pipeline[Any], /) -> dict[str, Any]:
    """Return plain values that say what a pipeline reads, and in which order.

    Functions are represented by name, data sets by length, kind of index and fingerprint. With the version of the
    algorithms this determines which sample comes at which position: see `python -m bionemo.data --help`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> pipeline_spec(pipeline)["lengths"], pipeline_spec(pipeline)["batch_size"]
        ([5], 2)
    """
    return {
        "algorithm": ALGORITHM_VERSION,
        "order": records.to_plain(pipeline.order),
        "seed": pipeline.seed,
        "lengths": [len(source.dataset) for source in pipeline.sources],
        "index": [source.index for source in pipeline.sources],
        "fingerprints": [source.fingerprint for source in pipeline.sources],
        "transforms": [_transform_name(source) for source in pipeline.sources],
        "collate": function_name(pipeline.collate),
        "batch_transform": function_name(pipeline.batch_transform),
        "batch_size": pipeline.batch_size,
        "drop_last": pipeline.drop_last,
        "seed_global_states": pipeline.seed_global_states,
    }


def _flatten(record: Any, path: str = "") -> dict[str, Any]:
    if isinstance(record, Mapping):
        parts = [(str(key), part) for key, part in record.items()]
    elif isinstance(record, list):
        parts = [(str(index), part) for index, part in enumerate(record)]
    else:
        is_array = hasattr(record, "tolist")  # arrays and tensors have no one answer to `!=`
        return {path: to_array(record, name=f"saved and current {path}").tolist() if is_array else record}
    return {
        name: leaf for key, part in parts for name, leaf in _flatten(part, f"{path}.{key}" if path else key).items()
    }


@checked
def record_differences(saved: Mapping[Any, Any], current: Mapping[Any, Any], /) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two records differ: the two values by dotted path, None if one has no such field.

    Example:
        >>> record_differences({"order": {"seed": 1, "length": 3}}, {"order": {"seed": 2, "length": 3}})
        {'order.seed': (1, 2)}
    """
    before, after = _flatten(saved), _flatten(current)
    return {name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)}


def differences_as_text(differences: Mapping[str, tuple[Any, Any]], /) -> str:
    """Return differences of records as one line of text.

    Example:
        >>> differences_as_text({"order.seed": (1, 2)})
        'order.seed (was 1, is 2)'
    """
    return ", ".join(f"{name} (was {before!r}, is {after!r})" for name, (before, after) in differences.items())
