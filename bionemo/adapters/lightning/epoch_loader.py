"""The training loader of a Lightning fit: it knows the position after any of the batches that were trained last."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from bionemo.data.pipes.loader import PipelineLoader
from bionemo.data.pipes.state import loader_state

__all__ = ["EpochLoader"]


class EpochLoader(PipelineLoader[Any]):
    """A loader that counts what it delivers over all epochs of a fit, so that batches can be taken back.

    Its `start` is where the fit begins or resumes, after `total_batches` batches.
    """

    total_batches: int = 0
    """Batches delivered since the beginning of the run."""
    remembered: int = 1
    """How many batches can be taken back: those of one optimizer's step, and the one in work."""

    def resume(self, state: Mapping[str, Any] | None, *, total_batches: int) -> None:
        """Go to the position of a state, or to the start, after so many batches of the run.

        Raises:
            ValueError: if the state is of another order, seed or data.
        """
        if state is None:
            self.consumed_samples = self._begin = self.start
            self._current = None
        else:
            self.load_state_dict(state)
        self.total_batches = total_batches
        self._starts: deque[int] = deque(state.get("open_step", ()) if state else (), maxlen=self.remembered)
        self._first: tuple[int, int] = (total_batches, self.consumed_samples)

    def __iter__(self) -> Iterator[Any]:
        for batch in super().__iter__():
            self._starts.append(self.last_positions.start)
            self.total_batches += 1
            yield batch

    def position_after(self, total_batches: int) -> int:
        """Return the position after so many batches of the run.

        Raises:
            RuntimeError: if these are too long ago.
        """
        back = self.total_batches - total_batches
        if not back:
            return self.consumed_samples
        if back <= len(self._starts):
            return self._starts[-back]
        first_batches, first_position = self._first
        if first_batches == total_batches:
            return first_position
        message = f"only the last {self.remembered} batches can be taken back, got {back}."
        raise RuntimeError(message)

    def state_at(self, total_batches: int, *, num_open: int = 0) -> dict[str, Any]:
        """Return the state after so many batches of the run, the last of which may belong to an unfinished step."""
        starts = [self.position_after(total_batches - back) for back in range(num_open, 0, -1)]
        position = self.position_after(total_batches)
        return loader_state(self.pipeline, position) | {
            "batches_per_epoch": self.batches_per_epoch,
            "open_step": starts,
        }
