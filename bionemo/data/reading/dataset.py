"""Data sets, indexed by number or by epoch and number, and what a pipeline knows about each."""

from collections.abc import Callable, Iterable
from functools import cached_property
from mmap import mmap
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import attrs
import numpy as np
from torch import Tensor

from bionemo.core.checks import AnyInt, shown
from bionemo.core.fields import Documented, check_bool, check_choice, to_bool
from bionemo.core.random.generators import check_entropy, seed_from_entropy
from bionemo.data.reading.functions import accept_keyword, shown_name
from bionemo.data.reading.indexing import check_by_position, is_labelled

__all__ = ["EpochIndex", "SizedDataset", "Source", "check_not_empty", "shown_dataset", "to_seed", "to_sources"]

Sample = TypeVar("Sample", covariant=True)  # noqa: PLC0105 - the name is the noun


class EpochIndex(NamedTuple):
    """A sample of a data set whose samples may differ by epoch: the epoch, and the index in the data set."""

    epoch: int
    idx: int


@runtime_checkable
class SizedDataset(Protocol[Sample]):
    """A data set of known length with random access by integer."""

    def __getitem__(self, index: int, /) -> Sample:
        """Return the sample at an index."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...


def check_not_empty(dataset: Any, /) -> None:
    """Check that a data set holds a sample.

    Raises:
        ValueError: if it is empty.

    Example:
        >>> check_not_empty("abc")
    """
    if not len(dataset):
        message = "dataset must hold at least one sample, got len(dataset)=0."
        raise ValueError(message)


def shown_dataset(dataset: Any, /) -> str:
    """Return the type and length of a data set, for the repr of what holds it; its samples may be millions.

    Example:
        >>> shown_dataset([3, 1, 2])
        'list of 3'
    """
    return f"{type(dataset).__name__} of {len(dataset)}"


@attrs.frozen(repr=False)
class Source(metaclass=Documented):
    """A data set, and what is done to each of its samples.

    Args:
        dataset: random access by `dataset[idx]`, and `len`. Tensors and arrays are gathered from, and a data set with
            `__getitems__` is asked for a whole batch at once. A pandas Series or DataFrame is read by position. A
            memory-mapped array is opened again in a spawned process, unless it is a view of another one or copied on
            write (`mode="c"`). Two sources are equal only if they hold the same data set object.
        transform: called as `transform(sample, generator=generator)` with the sample's own generator, or as
            `transform(sample)` if it takes no generator; None leaves samples unchanged. (A CPU generator of torch keeps
            32 bits of its seed: among a million samples some 116 pairs draw the same.)
        batched: whether `transform` takes many samples at once: it is called as `transform(samples, seeds=seeds)` with
            a list of samples and an int64 seed of 63 bits for each, or as `transform(samples)`, and returns as many.
            What becomes of a sample must depend on it and its seed alone. Faster, because no generators are made.
        index: what the data set is indexed by: "idx", the index of the sample, or "epoch", an `EpochIndex(epoch, idx)`.
        fingerprint: a string that identifies the data: a state is refused by a pipeline over other data. By default the
            data set's own, if it has a string attribute `fingerprint` (or `_fingerprint`, as Hugging Face data sets
            do). With None, only the length is compared.

    Raises:
        TypeError: if the data set isn't indexed by position, or a field has the wrong type.
        ValueError: if `index` is something else.
    """

    dataset: SizedDataset[Any] = attrs.field(eq=id)
    transform: Callable[..., Any] | None = attrs.field(default=None, kw_only=True)
    batched: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    index: Literal["idx", "epoch"] = attrs.field(default="idx", validator=check_choice("idx", "epoch"), kw_only=True)
    fingerprint: str | None = attrs.field(
        default=attrs.Factory(lambda source: _own_fingerprint(source.dataset), takes_self=True), kw_only=True
    )

    @dataset.validator
    def _check_dataset(self, _: "attrs.Attribute[Any]", dataset: object) -> None:
        check_by_position(dataset)

    @transform.validator
    def _check_transform(self, _: "attrs.Attribute[Any]", transform: Any) -> None:
        if transform is not None:
            try:
                accept_keyword(transform, self._keyword, name="transform")
            except TypeError as error:
                given = (
                    "samples and seeds: pass batched=False for a function of one"
                    if self.batched
                    else ("one sample and generator: pass batched=True for a function of many")
                )
                error.add_note(f"With batched={self.batched}, a transform is given {given}.")
                raise

    @batched.validator
    def _check_batched(self, _: "attrs.Attribute[bool]", batched: bool) -> None:  # noqa: FBT001 - attrs calls it
        if batched and self.transform is None:
            message = "batched must be False without a transform, got batched=True."
            raise ValueError(message)

    @index.validator
    def _check_index(self, _: "attrs.Attribute[str]", index: str) -> None:
        if index == "epoch" and (isinstance(self.dataset, np.ndarray | Tensor) or is_labelled(type(self.dataset))):
            message = (
                f'index must be "idx" for an array or tensor, got index="epoch" for {type(self.dataset).__name__}.'
            )
            raise ValueError(message)

    @fingerprint.validator
    def _check_fingerprint(self, _: "attrs.Attribute[Any]", fingerprint: object) -> None:
        if fingerprint is not None and not isinstance(fingerprint, str):
            message = f"fingerprint must be a string or None, got fingerprint={shown(fingerprint)}."
            raise TypeError(message)

    @cached_property
    def apply(self) -> Callable[..., Any]:
        """The transform as a function of a sample and its generator, or, if batched, of samples and their seeds."""
        return accept_keyword(self.transform or _unchanged, self._keyword, name="transform")

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        if _is_whole_map(self.dataset):
            found: Any = fields.pop("dataset")
            return _reopen, ((found.filename, found.dtype, "r", found.offset, found.shape), fields)
        return _remake, (fields,)

    @property
    def _keyword(self) -> str:
        return "seeds" if self.batched else "generator"

    def __repr__(self) -> str:
        parts = [shown_dataset(self.dataset)]
        parts += [] if self.transform is None else [f"transform={shown_name(self.transform)}"]
        parts += ["batched=True"] if self.batched else []
        parts += [] if self.index == "idx" else [f"index={self.index!r}"]
        parts += [] if self.fingerprint is None else [f"fingerprint={shown(self.fingerprint)}"]
        return f"Source({', '.join(parts)})"


def _is_whole_map(dataset: Any) -> bool:
    """Return whether a data set is all that `np.memmap` or `np.load` maps of a file, and as the file holds it."""
    return (
        isinstance(dataset, np.memmap)
        and isinstance(getattr(dataset, "base", None), mmap)  # a view has the map as its base
        and dataset.mode in {"r", "r+"}
        and dataset.filename is not None
        and dataset.flags.c_contiguous
    )


def _reopen(where: tuple[Any, ...], fields: dict[str, Any]) -> Source:
    return _remake({"dataset": np.memmap(*where), **fields})


def _remake(fields: dict[str, Any]) -> Source:
    return Source(**fields)


def _unchanged(sample: Any) -> Any:
    return sample


def _own_fingerprint(dataset: object) -> str | None:
    """Return the string by which a data set identifies its data; None if it has none."""
    for name in ("fingerprint", "_fingerprint"):
        if hasattr(type(dataset), name) or name in getattr(dataset, "__dict__", {}):
            found = getattr(dataset, name)
            if isinstance(found, str):
                return found
    return None


def to_sources(sources: object, /, *, name: str = "sources") -> tuple[Source, ...]:
    """Return data sets and sources as a tuple of sources.

    A tuple holds one data set per part, and so does a list that holds a `Source`. Anything else is one data set.

    Args:
        sources: data sets and sources.
        name: name of the argument, for errors.

    Example:
        >>> len(to_sources("abc")), len(to_sources(("abc", "xyz")))
        (1, 2)
    """
    is_many = isinstance(sources, tuple) or (
        isinstance(sources, list) and any(isinstance(part, Source) for part in sources)
    )
    parts = cast("Iterable[object]", sources) if is_many else (sources,)
    for part in parts:
        if not isinstance(part, Source):
            check_by_position(part, name=name)
    return tuple(part if isinstance(part, Source) else Source(cast("SizedDataset[Any]", part)) for part in parts)


def to_seed(seed: AnyInt | None) -> int:
    """Return the seed of a data set as a Python int: of any size, and for None a new one.

    Raises:
        ValueError: if it is negative.
        TypeError: if it is not an integer or None.

    Example:
        >>> to_seed(2**70)
        1180591620717411303424
    """
    return seed_from_entropy(None) if seed is None else check_entropy(seed, name="seed")
