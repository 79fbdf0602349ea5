"""What the laws need of a loader, and adapters for loaders that have it under other names."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs

from bionemo.core.checked import checked

__all__ = ["AdaptedLoader", "ReplayedLoader", "Resumable", "adapt", "check_resumable", "replayed", "saved_state"]

Loader = TypeVar("Loader")


@runtime_checkable
class Resumable(Protocol):
    """A loader that can be stopped and resumed: each `iter()` is one pass over the data, or the rest of one.

    Loaders of this library, StatefulDataLoader, the streams of Hugging Face datasets, MosaicML Streaming and LitData
    are such loaders as they are; `adapt` and `replayed` make one of others.
    """

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the batches of the next pass."""
        ...

    def state_dict(self) -> Any:
        """Return the state after the batches read so far."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Set the state, so that the next pass begins with the batch after it."""
        ...


def _state_dict(loader: Any) -> Any:
    return loader.state_dict()


def _load_state_dict(loader: Any, state: Any) -> Any:
    return loader.load_state_dict(state)


@attrs.define(eq=False)
class AdaptedLoader(Generic[Loader]):
    """A loader with other names for what `Resumable` has; made by `adapt`."""

    loader: Loader
    iterate: Callable[[Loader], Iterator[Any]]
    save: Callable[[Loader], Any]
    load: Callable[[Loader, Any], Any]

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the batches of the next pass."""
        return self.iterate(self.loader)

    def state_dict(self) -> Any:
        """Return the state after the batches read so far."""
        return self.save(self.loader)

    def load_state_dict(self, state_dict: Any, /) -> None:
        """Set the state."""
        self.load(self.loader, state_dict)


@checked
def adapt(
    loader: Loader,
    /,
    *,
    iterate: Callable[[Loader], Iterator[Any]] = iter,  # type: ignore[assignment]
    save: Callable[[Loader], Any] = _state_dict,
    load: Callable[[Loader, Any], Any] = _load_state_dict,
) -> AdaptedLoader[Loader]:
    """Return a loader as the laws need it, given functions for what it names otherwise.

    Args:
        loader: any object, e.g. a loader, its iterator, or a Lightning data module.
        iterate: returns an iterator over one pass.
        save: returns the state.
        load: sets the state.

    Example:
        >>> class Counter:
        ...     "An iterator that names its state like those of grain."
        ...     position = 0
        ...     def __iter__(self): return self
        ...     def __next__(self):
        ...         if self.position == 3:
        ...             raise StopIteration
        ...         self.position += 1
        ...         return [self.position]
        ...     def get_state(self): return self.position
        ...     def set_state(self, state): self.position = state
        >>> make_loader = lambda: adapt(Counter(), save=Counter.get_state, load=Counter.set_state)
        >>> from bionemo.data.testing import assert_resumes_exactly
        >>> assert_resumes_exactly(make_loader, list, num_epochs=1)
    """
    return AdaptedLoader(loader, iterate, save, load)


@attrs.define(eq=False)
class ReplayedLoader:
    """A loader without a state, resumed by reading again what was read before; made by `replayed`."""

    loader: Iterable[Any]
    set_epoch: Callable[[int], Any] | None
    skip: Callable[[Any, int], Iterable[Any]]
    _epoch: int = attrs.field(default=0, init=False)
    _num_batches: int = attrs.field(default=0, init=False)
    _num_passes: int = attrs.field(default=0, init=False)
    """Passes that this object has read, or begun to read, to their ends."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next pass, or the rest of one."""
        if self.set_epoch is not None:
            self.set_epoch(self._epoch)
        else:
            while self._num_passes < self._epoch:  # the order of a pass follows from those before
                self._num_passes += 1
                for _ in self.loader:
                    pass
        self._num_passes += 1
        for batch in self.skip(self.loader, self._num_batches) if self._num_batches else self.loader:
            self._num_batches += 1
            yield batch
        self._epoch, self._num_batches = self._epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Return the number of passes, and of batches read of the next one."""
        return {"epoch": self._epoch, "num_batches": self._num_batches}

    def load_state_dict(self, state_dict: dict[str, int], /) -> None:
        """Set the state."""
        self._epoch, self._num_batches = state_dict["epoch"], state_dict["num_batches"]


def _skip(loader: Iterable[Any], num_batches: int) -> Iterator[Any]:
    return islice(loader, num_batches, None)


@checked
def replayed(
    loader: Iterable[Any],
    /,
    *,
    set_epoch: Callable[[int], Any] | None = None,
    skip: Callable[[Any, int], Iterable[Any]] = _skip,
) -> ReplayedLoader:
    """Return a loader that is resumed by reading and dropping the batches before, as many training scripts do.

    Args:
        loader: a plain `DataLoader`, or any other object that each `iter()` reads once more.
        set_epoch: called with the number of the pass before each pass, e.g. `sampler.set_epoch`. Without it, whole
            passes are read again as well.
        skip: returns the loader without its first batches, e.g. `accelerate.skip_first_batches`.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> loader = replayed(DataLoader(range(6), batch_size=2))
        >>> next(iter(loader))
        tensor([0, 1])
        >>> resumed = replayed(DataLoader(range(6), batch_size=2))
        >>> resumed.load_state_dict(loader.state_dict())
        >>> list(resumed)
        [tensor([2, 3]), tensor([4, 5])]
    """
    return ReplayedLoader(loader, set_epoch, skip)


def check_resumable(loader: Any, other: Any, /) -> None:
    """Check that a loader has a state, and is another one than a second one.

    Raises:
        TypeError: if it has no state.
        ValueError: if both are the same object.

    Example:
        >>> check_resumable([[1], [2]], None)
        Traceback (most recent call last):
        TypeError: make_loader must return a loader with state_dict and load_state_dict, got a list.
        Return replayed(loader), which skips the batches before, or adapt(loader, save=..., load=...).
    """
    if not all(hasattr(loader, name) for name in ("state_dict", "load_state_dict")):
        message = (
            f"make_loader must return a loader with state_dict and load_state_dict, got a {type(loader).__name__}. "
            "Return replayed(loader), which skips the batches before, or adapt(loader, save=..., load=...)."
        )
        raise TypeError(message)
    if loader is other:
        message = "make_loader must return a new loader each time, as a new process would, got the same one twice."
        raise ValueError(message)


def saved_state(loader: Resumable, /) -> bytes:
    """Return the state of a loader as a checkpoint would hold it.

    Raises:
        AssertionError: if it doesn't pickle.

    Example:
        >>> len(saved_state(replayed([[1], [2]]))) > 0
        True
    """
    try:
        return pickle.dumps(loader.state_dict())
    except Exception as error:
        message = f"state_dict() must return plain values, which pickle, got {type(error).__name__}: {error}"
        raise AssertionError(message) from error
