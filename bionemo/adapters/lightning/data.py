"""The batches of pipelines, for a Lightning trainer of any number of ranks."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule

from bionemo.adapters.lightning.place import trainer_place
from bionemo.data.batches import num_batches
from bionemo.data.pipeline import Pipeline
from bionemo.data.pipes.loader import PipelineLoader, loader

__all__ = ["PipelineDataModule"]


class PipelineDataModule(LightningDataModule):
    """The batches of pipelines, for a trainer of any number of ranks.

    A Lightning epoch is the stretch from pause to pause of the training loader; the position in the order is saved with
    every checkpoint and restored with it, on any number of ranks and workers. An order with an end is gone through
    once, whatever the trainer's `max_epochs`. Give the trainer `use_distributed_sampler=False`.

    Another batch size or `batches_per_epoch` is taken up where an epoch ends, with both the old and the new numbers;
    elsewhere Lightning would stop early without a word, and the state is refused.

    Args:
        train: what is trained on.
        validation: what is validated on, with the same batches each time: a pipeline, or several by name; None for
            nothing (the trainer then wants `limit_val_batches=0`).
        test: what `Trainer.test` goes through, likewise.
        predict: what `Trainer.predict` goes through, likewise.
        batches_per_epoch: steps from pause to pause; needed where the training order has no end. A trainer's
            `limit_train_batches=N` cuts it to `N`.
        num_workers: processes that read the training batches ahead of time.

    Raises:
        ValueError: if the training order has no end and `batches_per_epoch` is None, or another order has no end.
    """

    def __init__(
        self,
        *,
        train: Pipeline[Any],
        validation: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        test: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        predict: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        batches_per_epoch: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if batches_per_epoch is None and num_batches(train) is None:
            message = (
                "batches_per_epoch must be given for an order without end, got None. "
                "Lightning resumes exactly only where it knows when to pause."
            )
            raise ValueError(message)
        self.train, self.batches_per_epoch, self.num_workers = train, batches_per_epoch, num_workers
        self.validation = _by_name("validation", validation)
        self.test = _by_name("test", test)
        self.predict = _by_name("predict", predict)
        self._train_loader: PipelineLoader[Any] | None = None

    def _place(self) -> tuple[int, int]:
        return trainer_place(self.trainer)

    def _pause(self) -> int | None:
        """Return how many steps a Lightning epoch has; None for the whole order."""
        if self.trainer is None:
            return self.batches_per_epoch
        overfit = getattr(self.trainer, "overfit_batches", 0)
        if overfit:
            message = (
                f"overfit_batches must be 0, got overfit_batches={overfit}: training never goes "
                "back. Train on an order of a few samples, epoch after epoch."
            )
            raise ValueError(message)
        limit = self.trainer.limit_train_batches
        if isinstance(limit, float) and limit != 1:
            message = f"limit_train_batches must be a number of batches, got limit_train_batches={limit}."
            raise ValueError(message)
        limits = [self.batches_per_epoch, limit if isinstance(limit, int) and limit > 0 else None]
        return min((number for number in limits if number is not None), default=None)

    def train_dataloader(self) -> PipelineLoader[Any]:
        """Return this rank's training batches, from where the last trainer left off."""
        before, pause, (rank, world_size) = self._train_loader, self._pause(), self._place()
        if before is not None:
            before.close()
        accumulated = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        total = num_batches(self.train)
        if accumulated > 1 and pause is not None and total is not None and total % pause:
            message = (
                f"batches_per_epoch must divide the order's {total} batches where some are accumulated, got "
                f"batches_per_epoch={pause} and accumulate_grad_batches={accumulated}: Lightning would leave the last "
                "without a step. Leave batches_per_epoch out."
            )
            raise ValueError(message)
        batches = _EpochLoader(
            self.train,
            rank=rank,
            world_size=world_size,
            batches_per_epoch=pause,
            restart=False,
            start=0 if before is None else before.consumed_samples,
            num_workers=self.num_workers,
        )
        if not getattr(self.trainer, "fast_dev_run", False):
            self._train_loader = batches
        return batches

    def _evaluated(self, stage: str, pipelines: Mapping[str, Pipeline[Any]]) -> list[PipelineLoader[Any]]:
        if not pipelines and stage != "validation":
            message = f"{stage} must be given to go through it, got none: PipelineDataModule({stage}=...)."
            raise ValueError(message)
        return [loader(pipeline, *self._place(), restart=True) for pipeline in pipelines.values()]

    def val_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return this rank's validation batches, a loader for each pipeline."""
        return self._evaluated("validation", self.validation)

    def test_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return this rank's test batches, a loader for each pipeline."""
        return self._evaluated("test", self.test)

    def predict_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return the batches that this rank predicts, a loader for each pipeline."""
        return self._evaluated("predict", self.predict)

    def teardown(self, stage: str) -> None:
        """End the worker processes, if there are any."""
        if self._train_loader is not None:
            self._train_loader.close()


class _EpochLoader(PipelineLoader[Any]):
    """A loader whose state says what an epoch was, too: Lightning counts its batches."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"batches_per_epoch": self.batches_per_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        now = {"batch_size": self.pipeline.batch_size, "batches_per_epoch": self.batches_per_epoch}
        saved = {
            "batch_size": state["pipeline"]["batch_size"],
            "batches_per_epoch": state.get("batches_per_epoch", self.batches_per_epoch),
        }
        consumed = self.consumed_samples
        if now == saved or all(_is_end_of_epoch(consumed, **numbers) for numbers in (now, saved)):
            return
        message = (
            f"batch_size and batches_per_epoch may change only where an epoch ends, got {saved} before, {now} now, and "
            f"a checkpoint at sample {consumed}. Go on with the old ones, or from a checkpoint at such an end."
        )
        raise ValueError(message)


def _is_end_of_epoch(consumed: int, *, batch_size: int, batches_per_epoch: int | None) -> bool:
    return consumed == 0 if batches_per_epoch is None else consumed % (batch_size * batches_per_epoch) == 0


def _by_name(stage: str, pipelines: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None) -> dict[str, Pipeline[Any]]:
    """Return pipelines by name; one alone has none."""
    found = {"": pipelines} if isinstance(pipelines, Pipeline) else dict(pipelines or {})
    for pipeline in found.values():
        if num_batches(pipeline) is None:
            message = f"{stage} must have an end, got an order with num_samples=None. Give the order num_samples."
            raise ValueError(message)
    return found
