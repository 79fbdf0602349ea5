"""What trainers ask of a loader, answered for one that keeps its own position."""

from types import SimpleNamespace
from typing import Any

__all__ = ["TrainerGuards"]


class TrainerGuards:
    """The attributes by which Lightning, transformers and accelerate would move a loader, as clear errors."""

    restart: bool
    consumed_samples: int

    def set_epoch(self, epoch: int) -> None:
        """Check that the loader is not at its start when a trainer begins a later epoch.

        Trainers of Lightning, transformers and accelerate call this. Their epochs are not the loader's: it resumes from
        its own position, which they must save and restore.

        Raises:
            RuntimeError: if the position was not restored.
        """
        if epoch > 0 and not self.restart and self.consumed_samples == 0:
            message = (
                f"a loader must be where a trainer resumes, got epoch={epoch} and a loader at sample 0. "
                "Restore its position by load_state_dict. PipelineDataModule does so under Lightning, PipelineTrainer "
                "under transformers. A loop of your own needs no set_epoch: remove it."
            )
            raise RuntimeError(message)

    @property
    def dataset(self) -> Any:
        """Raise an error: transformers and accelerate ask for it to skip batches that were trained.

        Raises:
            AttributeError: always.
        """
        message = (
            "a PipelineLoader has no dataset to skip batches in. Restore its position by load_state_dict. With "
            "transformers' Trainer, use bionemo.adapters.huggingface.PipelineTrainer, which does."
        )
        raise AttributeError(message)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Object with the loader as its `sampler`: Lightning calls `batch_sampler.sampler.set_epoch`."""
        return SimpleNamespace(sampler=self)
