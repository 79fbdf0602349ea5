"""Signals of a job scheduler, handled between two batches."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final

__all__ = ["DeferredSignals"]

_SENT_BY_SCHEDULERS: Final = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGCONT,
    signal.SIGXCPU,
)

Handler = Callable[[int, FrameType | None], Any]


class DeferredSignals:
    """Signal handlers of a trainer, called between two batches instead of anywhere within one.

    Lightning's handler of a scheduler's requeue signal saves a checkpoint. Python calls handlers between any two
    instructions, even when an optimizer has updated only half of the weights.

    Example:
        >>> signals, seen = DeferredSignals(), []
        >>> before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
        >>> signals.defer()
        >>> signal.raise_signal(signal.SIGUSR1)
        >>> seen, signals.pending
        ([], [<Signals.SIGUSR1: 10>])
        >>> signals.handle(signals.pending)
        >>> seen
        [<Signals.SIGUSR1: 10>]
        >>> _ = signal.signal(signal.SIGUSR1, before)
    """

    def __init__(self) -> None:
        self._before = _handlers()
        self._deferred: dict[int, Handler] = {}
        self.pending: list[int] = []

    def defer(self) -> None:
        """Defer every handler that was installed since this object was created."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in _handlers().items():
            if callable(handler) and handler is not self._before.get(number) and handler != self._note:
                self._deferred[number] = handler
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending.append(signal.Signals(number))

    def handle(self, numbers: list[int]) -> None:
        """Call the handler of each of the signals once, and clear the pending signals."""
        self.pending = []
        for number in sorted(set(numbers)):
            self._deferred[number](number, None)

    def handle_pending(self, trainer: Any) -> None:
        """Handle the signals that any rank has received. All ranks of the trainer call this after the same batch."""
        is_any = partial(trainer.strategy.reduce_boolean_decision, all=False)
        if is_any(bool(self.pending)):
            pending = self.pending
            # Each reduction is a collective: every rank must make the same ones, in the same order.
            self.handle([number for number in sorted(self._deferred) if is_any(number in pending)])


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SENT_BY_SCHEDULERS}
