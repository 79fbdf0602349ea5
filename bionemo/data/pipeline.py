"""The record of a pipeline: all that decides what a training run reads."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar, cast

import attrs
import numpy as np
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, check_int, check_seed
from bionemo.data.indexing import check_by_position, is_labelled
from bionemo.data.multi_epoch_dataset import SizedDataset
from bionemo.data.order import ALGORITHM_VERSION, Order
from bionemo.data.record import function_name, to_record

__all__ = ["Pipeline", "Source", "pipeline_record", "to_sources"]

Batch = TypeVar("Batch")


@attrs.frozen
class Source:
    """A data set, and what is done to each of its samples.

    Args:
        dataset: random access by `dataset[idx]`, and `len`. Tensors and arrays are gathered from, and a data set with
            `__getitems__` is asked for a whole batch at once. A Series or DataFrame of pandas is read by position. (A
            memory-mapped array that goes to a spawned process is copied whole: open it there, in a data set of your
            own.) Two sources are equal only with the very same data set.
        transform: called as `transform(sample, generator=generator)` with the sample's own generator; None leaves
            samples as they are.
        index: what the data set is indexed by: "idx", the place in it, or "epoch", an `EpochIndex(epoch, idx)`.
        fingerprint: text that names the data. A state is refused by a pipeline over other data. By default the data
            set's own, if it has a text called `fingerprint` (or `_fingerprint`, as those of Hugging Face); None where
            nothing names it, and only its length is compared.
    """

    dataset: SizedDataset[Any] = attrs.field(eq=id)
    transform: Callable[..., Any] | None = attrs.field(default=None, kw_only=True)
    index: Literal["idx", "epoch"] = attrs.field(
        default="idx", validator=attrs.validators.in_(("idx", "epoch")), kw_only=True
    )
    fingerprint: str | None = attrs.field(
        default=attrs.Factory(lambda source: _own_fingerprint(source.dataset), takes_self=True),
        validator=attrs.validators.optional(attrs.validators.instance_of(str)),
        kw_only=True,
    )

    @dataset.validator
    def _check_dataset(self, _: "attrs.Attribute[Any]", dataset: object) -> None:
        check_by_position(dataset)

    @index.validator
    def _check_index(self, _: "attrs.Attribute[str]", index: str) -> None:
        if index == "epoch" and (isinstance(self.dataset, np.ndarray | Tensor) or is_labelled(self.dataset)):
            message = (
                f'index must be "idx" for an array or tensor, got index="epoch" for {type(self.dataset).__name__}.'
            )
            raise ValueError(message)


def _own_fingerprint(dataset: object) -> str | None:
    """Return the text by which a data set names its data; None if there is none."""
    for name in ("fingerprint", "_fingerprint"):
        if hasattr(type(dataset), name) or name in getattr(dataset, "__dict__", {}):
            found = getattr(dataset, name)
            if isinstance(found, str):
                return found
    return None


def to_sources(sources: object) -> tuple[Source, ...]:
    """Return data sets and sources as sources: of a tuple, or of a list with a source in it, each part; else the one.

    Example:
        >>> len(to_sources("abc")), len(to_sources(("abc", "xyz")))
        (1, 2)
    """
    is_many = isinstance(sources, tuple) or (
        isinstance(sources, list) and any(isinstance(part, Source) for part in sources)
    )
    parts = cast("Iterable[object]", sources) if is_many else (sources,)
    return tuple(part if isinstance(part, Source) else Source(cast("SizedDataset[Any]", part)) for part in parts)


def _check_batch_size(batch_size: AnyInt) -> int:
    return check_int(batch_size, name="batch_size", low=1)


@attrs.frozen(kw_only=True)
class Pipeline(Generic[Batch]):
    """All that decides what a training run reads: the batch at any step is a pure function of this record.

    Args:
        order: which sample stands at each position.
        sources: a data set or a `Source`, or a tuple of them, one for each source of the order.
        batch_size: samples in one step, over all ranks together.
        seed: 0..2**63-1; gives every position its generator and every row its seed.
        collate: makes a batch from a list of samples, which may be empty (a rank without a share). None leaves them as
            they are read: a tensor or array of rows where that is the one source, without a transform; else a list.
        batch_transform: called as `batch_transform(batch, seeds=seeds)` with an int64 seed a row; None leaves batches
            as they are.
        tail: what becomes of samples that don't fill the last batch: "short" delivers them as a short batch, "drop"
            leaves them out.

    Raises:
        ValueError: if the sources don't fit the order, or a number is out of range.

    Example:
        >>> from bionemo.data import EpochOrder, batch_at, num_batches
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> [batch_at(pipeline, step) for step in range(num_batches(pipeline))]
        ['ab', 'ed', 'c']
    """

    order: Order
    sources: tuple[Source, ...] = attrs.field(converter=to_sources)
    batch_size: int = attrs.field(converter=_check_batch_size)
    seed: int = attrs.field(converter=check_seed)
    collate: Callable[[list[Any]], Batch] | None = None
    batch_transform: Callable[..., Batch] | None = None
    tail: Literal["drop", "short"] = attrs.field(default="short", validator=attrs.validators.in_(("drop", "short")))

    @sources.validator
    def _check_sources(self, _: "attrs.Attribute[tuple[Source, ...]]", sources: tuple[Source, ...]) -> None:
        if len(sources) != self.order.num_sources:
            message = (
                f"sources must be one for each source of the order, got {len(sources)} for {self.order.num_sources}. "
                "Several data sets stand in a tuple, not a list; wrap a data set that is a tuple, Source(dataset)."
            )
            raise ValueError(message)
        lengths = tuple(len(source.dataset) for source in sources)
        if not all(lengths):
            message = f"data sets must hold at least one sample each, got lengths {lengths}."
            raise ValueError(message)
        expected = getattr(self.order, "source_lengths", lengths)
        if any(of_order not in {None, length} for length, of_order in zip(lengths, expected, strict=True)):
            message = (
                f"data sets must have the lengths of the order, got lengths {lengths} for {expected}. "
                "Make the order with length=len(dataset)."
            )
            raise ValueError(message)


def pipeline_record(pipeline: Pipeline[Any], /) -> dict[str, Any]:
    """Return the canonical record of a pipeline: plain values that say what it reads and in which order.

    The functions are there by name only, the data sets by length, index and fingerprint only. With the version of the
    algorithms, they say which sample stands where: see `python -m bionemo.data --help`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> pipeline_record(pipeline)["lengths"], pipeline_record(pipeline)["batch_size"]
        ([5], 2)
    """
    return {
        "algorithm": ALGORITHM_VERSION,
        "order": to_record(pipeline.order),
        "seed": pipeline.seed,
        "lengths": [len(source.dataset) for source in pipeline.sources],
        "index": [source.index for source in pipeline.sources],
        "fingerprints": [source.fingerprint for source in pipeline.sources],
        "transforms": [function_name(source.transform) for source in pipeline.sources],
        "collate": function_name(pipeline.collate),
        "batch_transform": function_name(pipeline.batch_transform),
        "batch_size": pipeline.batch_size,
        "tail": pipeline.tail,
    }
