"""Where a loader waits: the time that each stage of its batches takes, and how long the consumer waits for them."""

from collections import deque
from time import perf_counter
from typing import Final

import attrs
import numpy as np

from bionemo.data.batches.throughput import Throughput
from bionemo.data.pipeline.assemble import STAGES
from bionemo.data.pipes.delivery import Delivery

__all__ = ["LoaderStats", "Recorder"]

_MOST: Final = 10_000
"""Number of most recent steps whose waits are kept."""
_IDLE: Final = 0.1
"""A loader whose consumer waits for a smaller fraction of the time than this is not what limits the speed."""


@attrs.frozen(kw_only=True)
class LoaderStats:
    """What a loader measured since its iteration began."""

    num_steps: int
    """Number of batches delivered."""
    seconds: float
    """Time from the first request to the last delivery."""
    waited: float
    """Time that the consumer waited for batches, in seconds."""
    waited_p50: float
    """Median of the waits of a step, in seconds; this and the next three count the last 10,000 steps."""
    waited_p95: float
    """95% of the steps waited less."""
    waited_p99: float
    """99% of the steps waited less."""
    waited_max: float
    """The longest wait."""
    stages: dict[str, dict[int, float]]
    """Seconds that each stage took, by the number of the worker process or thread: "read", "transform", "collate",
    "batch_transform" and "transfer"."""
    num_ready: float
    """Mean number of batches that were ready when one was asked for; 0 without workers and threads."""
    num_bytes: int
    """Bytes of the batches as they were made, before a transform on the device."""
    throughput: Throughput
    """Real tokens, the fraction of padding, and samples and tokens per second of this rank."""

    @property
    def bottleneck(self) -> str:
        """What limits the speed: "consumer" if it hardly waits for batches, else the stage that takes the most time."""
        if self.waited < _IDLE * self.seconds or not self.num_steps:
            return "consumer"
        return max(self.stages, key=lambda stage: sum(self.stages[stage].values()))

    def __str__(self) -> str:
        """Return the measurements in one line."""
        waits = {"p50": self.waited_p50, "p95": self.waited_p95, "p99": self.waited_p99, "max": self.waited_max}
        shown = ", ".join(f"{name} {1e3 * wait:.2f}" for name, wait in waits.items())
        stages = ", ".join(f"{name} {sum(parts.values()):.2f} s" for name, parts in self.stages.items())
        fraction = self.waited / self.seconds if self.seconds else 0.0
        return (
            f"{self.num_steps:,} steps in {self.seconds:.2f} s, {fraction:.0%} of it waiting ({shown} ms); {stages}; "
            f"{self.num_ready:.1f} batches ready; {self.num_bytes / 1e6:,.1f} MB; "
            f"{self.throughput.samples_per_second:,.0f} samples/s, {self.throughput.tokens_per_second:,.0f} tokens/s; "
            f"limited by {self.bottleneck}"
        )


class Recorder:
    """Sums up the measurements of an iteration.

    Example:
        >>> recorder = Recorder()
        >>> recorder.add(Delivery(1, 0, 1, "batch", (0.5, 0, 0, 0, 0), (8, 2, 4)), 1.0, 1.5)
        >>> recorder.stats().waited, recorder.stats().stages["read"]
        (0.5, {0: 0.5})
    """

    def __init__(self) -> None:
        self._began = self._last = perf_counter()
        self._waits: deque[float] = deque(maxlen=_MOST)
        self._waited = 0.0
        self._counts = [0] * 6  # steps, ready, samples, and the size of the batch
        self._stages: dict[int, list[float]] = {}

    def add(self, delivery: Delivery, asked: float, now: float, /) -> None:
        """Add a batch that was asked for and delivered at these times."""
        # Written out, because a loop over so few numbers takes twice as long.
        _, _, num_samples, _, (read, transform, collate, batch_transform, transfer), size, worker, num_ready = delivery
        self._last, waited, counts = now, now - asked, self._counts
        self._waits.append(waited)
        self._waited += waited
        counts[0] += 1
        counts[1] += num_ready
        counts[2] += num_samples
        num_bytes, num_tokens, num_elements = size
        counts[3] += num_bytes
        counts[4] += num_tokens
        counts[5] += num_elements
        stages = self._stages.get(worker)
        if stages is None:
            stages = self._stages[worker] = [0.0] * len(delivery.seconds)
        stages[0] += read
        stages[1] += transform
        stages[2] += collate
        stages[3] += batch_transform
        stages[4] += transfer

    def stats(self) -> LoaderStats:
        """Return what was measured so far."""
        num_steps, num_ready, num_samples, num_bytes, num_tokens, num_elements = self._counts
        seconds = max(self._last - self._began, 1e-9)
        waits = np.quantile(self._waits, (0.5, 0.95, 0.99, 1)).tolist() if self._waits else [0.0] * 4
        return LoaderStats(
            num_steps=num_steps,
            seconds=seconds,
            waited=self._waited,
            waited_p50=waits[0],
            waited_p95=waits[1],
            waited_p99=waits[2],
            waited_max=waits[3],
            stages={
                name: {worker: stages[number] for worker, stages in sorted(self._stages.items())}
                for number, name in enumerate(STAGES)
            },
            num_ready=num_ready / num_steps if num_steps else 0.0,
            num_bytes=num_bytes,
            throughput=Throughput(
                num_tokens,
                1 - num_tokens / num_elements if num_elements else 0.0,
                num_samples / seconds,
                num_tokens / seconds,
            ),
        )
