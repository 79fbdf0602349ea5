"""A callback that logs where a training loader waits."""

import logging
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer

from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["LogLoaderStats"]

_LOG: Final = logging.getLogger(__name__)


class LogLoaderStats(Callback):
    """Log what the training loader of a `PipelineDataModule` measures.

    The loggers get numbers every `log_every_n_steps` steps of the trainer: the waits in seconds ("loader/waited_p50",
    "_p95", "_p99", "_max"), the fraction of the time spent waiting, the seconds per step of each stage
    ("loader/read"), and tokens per second. At the end of each epoch, one line goes to Python's logging.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[LogLoaderStats()], logger=False, accelerator="cpu", max_steps=1)
    """

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Give the loggers what was measured since the epoch began."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or trainer.global_step % every:
            return
        stats = _loader_of(trainer).stats()
        numbers = {name: getattr(stats, name) for name in ("waited_p50", "waited_p95", "waited_p99", "waited_max")}
        numbers |= {"waiting": stats.waited / stats.seconds, "num_ready": stats.num_ready}
        numbers |= {name: sum(parts.values()) / stats.num_steps for name, parts in stats.stages.items()}
        numbers["tokens_per_second"] = stats.throughput.tokens_per_second
        for logger in trainer.loggers:
            logger.log_metrics({f"loader/{name}": value for name, value in numbers.items()}, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log one line."""
        _LOG.info("rank %d: %s", trainer.global_rank, _loader_of(trainer).stats())


def _loader_of(trainer: Trainer) -> PipelineLoader[Any]:
    """Return the training loader."""
    found = trainer.train_dataloader
    if not isinstance(found, PipelineLoader):
        message = f"the training loader must be a PipelineDataModule's, got an object of type {type(found).__name__}."
        raise TypeError(message)
    return found
