"""A loader for a training loop that uses accelerate."""

import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from bionemo.adapters.huggingface.ranks import check_template, options_for_rank
from bionemo.data.pipeline.steps import next_pause
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["AcceleratedLoader", "accelerate_loader"]


def _weakly(accelerator: Any) -> Any:
    return weakref.ref(accelerator)


@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class AcceleratedLoader(PipelineLoader[Any]):
    """A loader that tells an Accelerator where a pass ends; made by `accelerate_loader`.

    Args:
        accelerator: the Accelerator of this process. Only a weak reference is kept, because it refers to the loader: a
            cycle would keep worker processes alive after a run.
    """

    accelerator: Any = attrs.field(kw_only=True, converter=_weakly)
    end_of_dataloader: bool = attrs.field(init=False, default=False)
    """Whether the batch delivered last is the last one before a pause: there, accelerate synchronizes gradients."""

    remainder: Final = 0
    """Number of samples at the end of a pass that `gather_for_metrics` keeps; 0 for all: no sample is repeated."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._gradients = self.accelerator().gradient_state

    def __iter__(self) -> Iterator[Any]:
        # Accelerate knows loops inside loops: the loader that was entered last is the active one.
        gradients, self._turn = self._gradients, (turn := object())
        batches = super().__iter__()
        pause = None
        try:
            for batch in batches:
                if self._turn is turn and self not in gradients.dataloader_references:
                    gradients._add_dataloader(self)  # noqa: SLF001
                    if self.batches_per_epoch is not None:
                        pause = next_pause(self.pipeline, self._begin, self.batches_per_epoch)
                self.end_of_dataloader = self.consumed_samples == pause or self.is_exhausted
                yield batch
        finally:
            if self._turn is turn:
                gradients._remove_dataloader(self)  # noqa: SLF001
                self.end_of_dataloader = False

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain values, equal on every rank.

        Raises:
            RuntimeError: between batches whose gradients are accumulated: these gradients aren't saved.
        """
        if not self._gradients.sync_gradients:
            message = (
                "a state must be saved when accumulated gradients have been applied, got "
                f"sync_gradients=False with gradient_accumulation_steps={self._gradients.num_steps}. "
                "Call save_state only if accelerator.sync_gradients."
            )
            raise RuntimeError(message)
        return super().state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Resume at the position of another loader of the same order; rank, world size and batch size may differ.

        Raises:
            ValueError: if `state_dict` has another order, seed or data, or is not a loader's state.
        """
        super().load_state_dict(state_dict)
        # Nothing is accumulated. Accelerate restores its count for as many processes as have saved, and for no others.
        if (accelerator := self.accelerator()) is not None:
            accelerator.step = 0
        self._gradients.sync_gradients = True


def accelerate_loader(batches: PipelineLoader[Any], accelerator: Any, /) -> AcceleratedLoader:
    """Return the loader of this process for a training loop with accelerate.

    It reads this process's part of each batch, delivers it on the accelerator's device, and is registered for
    checkpointing: `save_state` and `load_state` save and restore its position. `prepare` returns it as it is. Under
    `accumulate`, gradients are applied at the end of a pass, as with accelerate's own loaders.

    Law: from a state that any number of processes saved, any number of processes resumes at exactly the next sample.

    Args:
        batches: a loader for one process, whose options are used; one with `restart=True` is for evaluation, and its
            position isn't saved.
        accelerator: an `accelerate.Accelerator`. With several processes, give it
            `DataLoaderConfiguration(split_batches=True)`: the batch size counts all processes together, and without it
            accelerate would step schedulers once per process.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if the loader is one of several ranks, or the accelerator trains in a way that isn't supported:
            DeepSpeed, Megatron-LM, XLA, Ulysses sequence parallelism, or `dispatch_batches=True`.

    Example:
        >>> from accelerate import Accelerator
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> accelerator = Accelerator(cpu=True)
        >>> [(batch, accelerator.gradient_state.end_of_dataloader)
        ...  for batch in accelerate_loader(loader(pipeline), accelerator)]
        [('ab', False), ('ed', False), ('c', True)]
    """
    check_template(batches, name="batches")
    options = options_for_rank(batches, accelerator)
    if accelerator.num_processes > 1 and not accelerator.split_batches:
        message = (
            f"split_batches must be True, got split_batches=False and {accelerator.num_processes} processes: the batch "
            "size counts all of them together. Use Accelerator(dataloader_config=DataLoaderConfiguration("
            "split_batches=True))."
        )
        raise ValueError(message)
    made = AcceleratedLoader(**options, accelerator=accelerator)
    if not made.restart:
        accelerator.register_for_checkpointing(made)
    return made
