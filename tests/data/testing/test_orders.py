"""The laws of an order find broken orders, and hold for those of the library."""

from typing import Any

import attrs
import numpy as np
import pytest

from bionemo.data import BlockShuffleOrder, EpochOrder, SampleIndex
from bionemo.data.testing import assert_order


@attrs.frozen(kw_only=True)
class Reversed:
    """A sound order: passes from the last sample to the first."""

    length: int
    num_samples: int | None = None
    num_sources: int = 1

    @property
    def source_lengths(self) -> tuple[int]:
        return (self.length,)

    def index_at(self, position: Any) -> SampleIndex:
        epoch, offset = divmod(position, self.length)
        return SampleIndex(position * 0, epoch, self.length - 1 - offset)

    def position_of(self, index: SampleIndex) -> Any:
        return index.epoch * self.length + self.length - 1 - index.idx


class OutOfRange(Reversed):
    def index_at(self, position: Any) -> SampleIndex:
        return super().index_at(position)._replace(idx=position % self.length + (position == 9))


class Drawing(Reversed):
    def index_at(self, position: Any) -> SampleIndex:
        np.random.rand()
        return super().index_at(position)


class ByNumber(Reversed):
    """Gives other samples in an array."""

    def index_at(self, position: Any) -> SampleIndex:
        found = super().index_at(position)
        return found if isinstance(position, int) else found._replace(idx=np.flip(found.idx))


class WrongInverse(Reversed):
    def position_of(self, index: SampleIndex) -> Any:
        return super().position_of(index) + (index.idx == 2)


class Resized(Reversed):
    """Has other samples if it ends earlier."""

    def index_at(self, position: Any) -> SampleIndex:
        found = super().index_at(position)
        return found._replace(idx=(found.idx + (self.num_samples or 0) // 3) % self.length)

    position_of = property()  # no inverse


class WithWindows(Reversed):
    def window_stop(self, position: int) -> int:
        return position + 4


class Alike(Reversed):
    """Has the same order in each epoch."""

    seed = 0


class Dropping(Reversed):
    """Never reads sample 0."""

    def index_at(self, position: Any) -> SampleIndex:
        found = super().index_at(position)
        return found._replace(idx=found.idx + (found.idx == 0))

    position_of = property()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OutOfRange, r"of lengths \(10,\), but at position 9 it gives SampleIndex\(source=0, epoch=0, idx=10\)"),
        (Drawing, "index_at must leave the global random states unchanged, but it changed that of NumPy"),
        (ByNumber, "index_at must give the same for an int and in an array, in any order, but at position 0 "),
        (WrongInverse, r"position 7 has SampleIndex\(source=0, epoch=0, idx=2\), whose position is 8"),
        (Resized, "the order with a smaller num_samples must have the same samples, but at position 0 "),
        (WithWindows, "window_stop must lie after a position and .* it is 4 at 0 and 5 at 1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_broken_orders_are_found(kind: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_order(kind(length=10, num_samples=40))


def test_sound_orders_of_users_pass() -> None:
    assert_order(Reversed(length=10))
    assert_order(Reversed(length=10, num_samples=25))


@pytest.mark.usefixtures("no_type_checks")  # they take most of the time
def test_epochs_that_are_no_shuffles_are_found() -> None:
    for order in (
        EpochOrder(length=100, seed=7),
        EpochOrder(length=100, seed=7, num_samples=150),
        BlockShuffleOrder(length=101, block_size=7, blocks_per_window=3, seed=1),
    ):
        assert_order(order, shuffles_epochs=True)
    with pytest.raises(AssertionError, match="but epoch 0 and epoch 1 begin alike"):
        assert_order(Reversed(length=10), shuffles_epochs=True)
    with pytest.raises(AssertionError, match="epoch 0 of seed 7 and epoch 1 of seed 7 begin alike"):
        assert_order(EpochOrder(length=100, seed=7, shuffle=False), shuffles_epochs=True)
    with pytest.raises(AssertionError, match="but sample 0 is read 0 times"):
        assert_order(Dropping(length=10), shuffles_epochs=True)
    with pytest.raises(ValueError, match="needs an order of one source of at least 10 samples, got"):
        assert_order(EpochOrder(length=9, seed=1), shuffles_epochs=True)
    with pytest.raises(TypeError, match="order must have num_samples, num_sources and index_at, got 3"):
        assert_order(3)
