"""The pipeline record: everything that decides what a training run reads."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import attrs

from bionemo.core.checks import check_seed, shown
from bionemo.core.fields import Documented, check_bool, check_size, to_bool, to_int
from bionemo.data.orders.base import check_order
from bionemo.data.orders.order import Order, PlannedOrder
from bionemo.data.pipeline.html import pipeline_html
from bionemo.data.reading.dataset import Source, to_sources
from bionemo.data.reading.functions import accept_keyword, draws_nothing, is_pure, shown_name
from bionemo.data.reading.together import can_prefetch

__all__ = ["Pipeline"]

Batch = TypeVar("Batch")


@attrs.frozen(kw_only=True)
class Pipeline(Generic[Batch], metaclass=Documented):
    """Everything that decides what a training run reads: the batch at any step is a pure function of this record.

    Args:
        order: which sample comes at each position.
        sources: a data set or a `Source`, or a tuple of them, one per source of the order.
        batch_size: samples per step, over all ranks together. None for a `PlannedOrder`, e.g. a `PackedOrder`, which
            makes the steps itself.
        seed: 0..2**63-1; every position's generator and every row's seed are derived from it.
        collate: makes a batch from a list of samples, which may be empty (on a rank without samples). With None, a
            batch is the samples as they were read: one tensor or array if the only source is one and has no transform,
            else a list. For a planned order it is called with `bins` by keyword, if it takes it: the planned number of
            tokens of each sample, in a list per bin.
        batch_transform: called as `batch_transform(batch, seeds=seeds)` with an int64 seed per row, or as
            `batch_transform(batch)` if it takes no seeds; None leaves batches unchanged.
        drop_last: drop a last batch that isn't full; by default it is delivered short.
        seed_global_states: seed the global random states of torch, NumPy and Python before each batch, and restore them
            afterwards: whatever third-party code draws from them is then a function of this record and the position.
            It takes about 70 us per batch, and nothing if no third-party code is called. False for code that draws
            nothing from them.

    Raises:
        ValueError: if the sources don't fit the order, the order has no samples, or a number is out of range.
        TypeError: if a field has the wrong type.

    Example:
        >>> from bionemo.data import EpochOrder, batch_at, num_batches
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> [batch_at(pipeline, step) for step in range(num_batches(pipeline))]
        ['ab', 'ed', 'c']
    """

    order: Order = attrs.field(validator=check_order, repr=shown)
    sources: tuple[Source, ...] = attrs.field(converter=to_sources, repr=shown)
    batch_size: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_int), validator=attrs.validators.optional(check_size)
    )
    seed: int = attrs.field(converter=check_seed)
    collate: Callable[[list[Any]], Batch] | None = attrs.field(default=None, repr=shown_name)
    batch_transform: Callable[..., Batch] | None = attrs.field(default=None, repr=shown_name)
    drop_last: bool = attrs.field(default=False, converter=to_bool, validator=check_bool)
    seed_global_states: bool = attrs.field(default=True, converter=to_bool, validator=check_bool)

    @sources.validator
    def _check_sources(self, _: "attrs.Attribute[tuple[Source, ...]]", sources: tuple[Source, ...]) -> None:
        if len(sources) != self.order.num_sources:
            message = (
                f"sources must be one per source of the order, got {len(sources)} for {self.order.num_sources}. "
                "Pass several data sets as a tuple, not a list; wrap one data set that is a tuple: Source(dataset)."
            )
            raise ValueError(message)
        lengths = tuple(len(source.dataset) for source in sources)
        if not all(lengths):
            message = f"sources must hold at least one sample each, got data sets of lengths {lengths}."
            raise ValueError(message)
        expected = getattr(self.order, "source_lengths", lengths)
        if any(of_order not in {None, length} for length, of_order in zip(lengths, expected, strict=True)):
            message = (
                f"sources must have the lengths of the order, got data sets of lengths {lengths} for {expected}. "
                "Make the order with length=len(dataset)."
            )
            raise ValueError(message)

    @order.validator
    def _check_not_empty(self, _: "attrs.Attribute[Any]", order: Order) -> None:
        if order.num_samples == 0:
            message = (
                "order must have samples to read, got num_samples=0. Leave num_samples out for an order without end."
            )
            raise ValueError(message)

    @batch_size.validator
    def _check_batch_size(self, _: "attrs.Attribute[Any]", batch_size: int | None) -> None:
        is_planned = isinstance(self.order, PlannedOrder)
        if batch_size is None and not is_planned:
            message = "batch_size must be given, got batch_size=None: only a planned order makes the steps itself."
            raise TypeError(message)
        if batch_size is not None and is_planned:
            message = (
                f"batch_size must be left out, got batch_size={batch_size}: a {type(self.order).__name__} makes the "
                "steps itself."
            )
            raise ValueError(message)

    @collate.validator
    def _check_collate(self, _: "attrs.Attribute[Any]", collate: Any) -> None:
        if collate is not None:
            accept_keyword(collate, "bins", name="collate")

    @batch_transform.validator
    def _check_batch_transform(self, _: "attrs.Attribute[Any]", batch_transform: Any) -> None:
        if batch_transform is not None:
            accept_keyword(batch_transform, "seeds", name="batch_transform")

    def _repr_html_(self) -> str:
        return pipeline_html(self)

    @property
    def planned_order(self) -> PlannedOrder:
        """The order of a pipeline without a batch size."""
        return cast("PlannedOrder", self.order)

    @cached_property
    def apply_collate(self) -> Callable[..., Batch] | None:
        """The collator as a function of samples and their bins; None if there is none."""
        return self.collate and accept_keyword(self.collate, "bins", name="collate")

    @cached_property
    def has_transforms(self) -> bool:
        """Whether a source has a transform."""
        return any(source.transform is not None for source in self.sources)

    @cached_property
    def can_prefetch(self) -> bool:
        """Whether a data set has a `prefetch`, which is told what will be read next."""
        return any(can_prefetch(source.dataset) for source in self.sources)

    @cached_property
    def draws_globally(self) -> bool:
        """Whether something that the pipeline calls may draw from a global random state, which is seeded then."""
        calls = (self.collate, self.batch_transform, *(source.transform for source in self.sources))
        are_pure = all(map(is_pure, calls)) and all(draws_nothing(source.dataset) for source in self.sources)
        return self.seed_global_states and not are_pure

    @cached_property
    def apply_to_batch(self) -> Callable[..., Batch] | None:
        """The batch transform as a function of a batch and its seeds; None if there is none."""
        return self.batch_transform and accept_keyword(self.batch_transform, "seeds", name="batch_transform")
