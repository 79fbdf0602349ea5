"""Signals of a scheduler, handled between two batches."""

import signal
import threading
from collections.abc import Callable
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
    """Handlers that a trainer installed, called between two batches instead of anywhere within one.

    Lightning saves a checkpoint in its handler of a scheduler's requeue signal. Python calls handlers between any two
    instructions, also while an optimizer has changed one half of the weights.

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

    @property
    def deferred(self) -> list[int]:
        """The signals that are deferred, in rising order: the same on every rank."""
        return sorted(self._deferred)

    def defer(self) -> None:
        """Defer every handler that was installed since this object was made."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in _handlers().items():
            if callable(handler) and handler is not self._before.get(number) and handler != self._note:
                self._deferred[number] = handler
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending.append(signal.Signals(number))

    def handle(self, numbers: list[int]) -> None:
        """Call the handlers of some signals, each once, and forget those that were pending."""
        self.pending = []
        for number in sorted(set(numbers)):
            self._deferred[number](number, None)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SENT_BY_SCHEDULERS}
