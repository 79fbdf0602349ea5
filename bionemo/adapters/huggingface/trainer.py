"""transformers' Trainer on loaders of pipelines."""

import os
from functools import partial
from math import ceil
from typing import Any

from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, Trainer, default_data_collator

from bionemo.adapters.huggingface.arguments import check_arguments, check_batch_size, num_batches_of
from bionemo.adapters.huggingface.evaluation import EvaluationLoader, gather_parts
from bionemo.adapters.huggingface.position import (
    Checkpoint,
    DataPosition,
    check_counts,
    counts,
    newest_checkpoint,
    read_checkpoint,
)
from bionemo.adapters.huggingface.ranks import check_template, options_for_rank
from bionemo.adapters.huggingface.steps import step_loader
from bionemo.core.checks import shown
from bionemo.data.pipeline.steps import num_batches, step_of
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["PipelineTrainer"]


class PipelineTrainer(Trainer):
    """transformers' Trainer whose `train_dataset` and `eval_dataset` are loaders.

    Pass `loader(pipeline, batches_per_epoch=...)` of `bionemo.data.pipes`, as for one process: each process reads its
    own part of each batch. `eval_dataset` may be several loaders by name. Everything else is as in `Trainer`. To extend
    one of its subclasses, derive from both: `class Mine(PipelineTrainer, Seq2SeqTrainer)`.

    The pipeline makes the batches: its `collate` returns the arguments of the model, and its batch size counts all
    processes together. An epoch is `batches_per_epoch` batches, or a finite order. Arguments of the Trainer that would
    say otherwise are refused; shuffling, grouping by length and packing are orders.

    Every checkpoint holds the position of the data that matches its weights, in its `trainer_state.json`. Training
    resumes there, on any number of processes; no batch is read to be skipped. If the training ends by `max_steps`, the
    batch size, `batches_per_epoch` and `gradient_accumulation_steps` may change, too.
    """

    _checkpoint: Checkpoint | None = None
    _batches: PipelineLoader[Any] | None = None

    def train(
        self,
        resume_from_checkpoint: str | os.PathLike[str] | bool | None = None,  # noqa: FBT001
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:
        """Train, from a checkpoint if one is given; True means the newest whole one in `output_dir`.

        Raises:
            TypeError: if `train_dataset` is no loader.
            ValueError: if the data of the checkpoint are of another order or seed, or it doesn't hold their position;
                if an argument contradicts the pipeline, or the order ends before the training.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = newest_checkpoint(str(self.args.output_dir)) or True
        if resume_from_checkpoint and resume_from_checkpoint is not True:
            resume_from_checkpoint = os.fspath(resume_from_checkpoint)
            self._checkpoint = read_checkpoint(resume_from_checkpoint)
        given: Any = resume_from_checkpoint
        try:
            return super().train(given, trial, ignore_keys_for_eval)
        finally:
            self._checkpoint = None
            if self._batches is not None:
                self._batches.close()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process's part of the training batches, at the position of the checkpoint."""
        template: Any = self.train_dataset
        arguments, checkpoint = self.args, self._checkpoint
        check_template(template, name="train_dataset")
        if template.restart:
            message = "train_dataset must have restart=False, got restart=True: each epoch would have the same batches."
            raise ValueError(message)
        check_arguments(arguments)
        if self.data_collator is not default_data_collator and type(self.data_collator) is not DataCollatorWithPadding:
            message = f"data_collator must be left out, got {shown(self.data_collator)}. Use Pipeline(collate=...)."
            raise ValueError(message)
        length = _num_batches(template)
        batches = PipelineLoader[Any](**options_for_rank(template, self.accelerator) | {"batches_per_epoch": None})
        check_batch_size(arguments, batches.pipeline, world_size=batches.world_size)
        if checkpoint is not None:
            if arguments.max_steps <= 0:
                check_counts(checkpoint.counts, counts(batches.pipeline, length, arguments))
            batches.load_state_dict(checkpoint.data)
        global_step = 0 if checkpoint is None else checkpoint.global_step
        max_steps = _max_steps(arguments, length)
        _check_end(batches, arguments, length=length, global_step=global_step, max_steps=max_steps)
        self._batches = batches
        self.remove_callback(DataPosition)
        self.add_callback(DataPosition)
        return step_loader(batches, length, is_done=global_step >= max_steps)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return the loader of this process's part of the evaluation batches; it starts over with each evaluation."""
        if eval_dataset is None or isinstance(eval_dataset, str):
            given: Any = self.eval_dataset
            eval_dataset = given if eval_dataset is None else given[eval_dataset]
        return self._evaluation_loader(eval_dataset, name="eval_dataset")

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """Return the loader of this process's part of the batches to predict."""
        return self._evaluation_loader(test_dataset, name="test_dataset")

    def _evaluation_loader(self, template: Any, *, name: str) -> EvaluationLoader:
        check_template(template, name=name)
        if _num_batches(template) is None:
            message = f"{name} must have an end, got an order with num_samples=None. Set the order's num_samples."
            raise ValueError(message)
        options = options_for_rank(template, self.accelerator) | {"restart": True}
        return EvaluationLoader(**options, accelerator=self.accelerator)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,  # noqa: FBT001
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Evaluate or predict as `Trainer` does, also where the processes' parts of a batch are unequal."""
        if not self.args.eval_use_gather_object:
            self.gather_function = partial(gather_parts, self.accelerator)
        try:
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        finally:
            dataloader.close()


def _num_batches(batches: PipelineLoader[Any]) -> int | None:
    """Return the number of batches of an epoch, or None if there is no end to them."""
    try:
        return len(batches)
    except TypeError:
        return None


def _max_steps(arguments: Any, length: int | None) -> int:
    """Return the number of optimizer steps of the whole training, as the Trainer counts it."""
    if arguments.max_steps > 0 or length is None:
        return int(arguments.max_steps)
    num_steps: int = ceil(arguments.num_train_epochs * ceil(length / arguments.gradient_accumulation_steps))
    return num_steps


def _check_end(
    batches: PipelineLoader[Any], arguments: Any, *, length: int | None, global_step: int, max_steps: int
) -> None:
    """Check that the order has a batch for each step, since the Trainer would end early without an error."""
    total = num_batches(batches.pipeline)
    if total is None or length is None:
        return
    read = [
        num_batches_of(step, length=length, accumulated=arguments.gradient_accumulation_steps)
        for step in (global_step, max_steps)
    ]
    left = 0 if batches.is_exhausted else total - step_of(batches.pipeline, batches.consumed_samples)
    if read[1] - read[0] > left:
        message = (
            f"the order must have {read[1] - read[0]} more batches for max_steps={arguments.max_steps} or "
            f"num_train_epochs={arguments.num_train_epochs}, got {left}. Train for fewer steps, or read an order "
            "without end (num_samples=None) by loader(pipeline, batches_per_epoch=...)."
        )
        raise ValueError(message)
