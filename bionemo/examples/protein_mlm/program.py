"""Train a small masked-language model on proteins, from a FASTA file to a checkpoint that a later run can resume."""

import argparse
import errno
import hashlib
import logging
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule
from bionemo.core.files import write_atomically
from bionemo.core.random import make_generator, seed_from_generator, split
from bionemo.data import fingerprint, pipeline_spec
from bionemo.examples.protein_mlm.bad_input import BadInputError
from bionemo.examples.protein_mlm.command_line import INTERRUPTED, Parser, integer, local_path, say
from bionemo.examples.protein_mlm.history import History, ProgressLines, plot_losses
from bionemo.examples.protein_mlm.model import ProteinModelConfig
from bionemo.examples.protein_mlm.pipelines import ProteinPipelines, make_pipelines, unigram_entropy
from bionemo.examples.protein_mlm.proteins import VOCABULARY, embedded_proteins, encode, read_proteins
from bionemo.examples.protein_mlm.run_folder import (
    Settings,
    check_same_order,
    find_checkpoint,
    load_settings,
    locked,
    make_folder,
    new_folder,
    write_run,
)

__all__ = ["main"]

EVALUATE_EVERY: Final = 50
"""Number of steps between two measurements of the held-out loss; a checkpoint follows each."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m bionemo.examples.protein_mlm", description=__doc__)
    defaults = Settings()
    fasta_help = "protein FASTA, plain or gzipped (default: 2,170 proteins of Swiss-Prot)"
    parser.add_argument("--fasta", metavar="FILE", type=local_path, help=fasta_help)
    for name, metavar, text in (
        ("steps", "N", "total number of optimizer steps"),
        ("batch_size", "B", "proteins per step"),
        ("max_length", "L", "maximum tokens per row; longer proteins are cropped"),
        ("seed", "S", "seed of everything random"),
    ):
        option, default = "--" + name.replace("_", "-"), getattr(defaults, name)
        number = partial(integer, name=name)
        parser.add_argument(option, metavar=metavar, type=number, help=f"{text} (default: {default})")
    packed_help = "train on packed steps of up to a quarter of B * L tokens, without padding"
    parser.add_argument("--packed", action="store_true", default=None, help=packed_help)
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument(
        "--out", metavar="DIR", type=local_path, help="folder of the run (default: a new folder in runs/)"
    )
    folder.add_argument(
        "--resume", metavar="DIR", type=local_path, help="resume the run in this folder, with its own settings"
    )
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of a resumed run, or the defaults, updated with the options given."""
    base = Settings() if options.resume is None else load_settings(options.resume)
    given = {name: getattr(options, name) for name in ("steps", "batch_size", "max_length", "seed", "packed")}
    given["fasta"] = None if options.fasta is None else str(options.fasta.absolute())
    return attrs.evolve(base, **{name: value for name, value in given.items() if value is not None})


def _make_module(*, max_length: int, generator: torch.Generator) -> TrainableModule:
    """Return the model to train, with its optimizer and learning-rate schedule."""
    model_generator, step_generator = split(generator)
    return TrainableModule(
        ProteinModelConfig(vocab_size=len(VOCABULARY), max_length=max_length),
        optimizer=partial(torch.optim.AdamW, lr=3e-3, betas=(0.9, 0.98)),
        lr_scheduler=partial(torch.optim.lr_scheduler.LinearLR, start_factor=0.02, total_iters=50),
        generator=model_generator,
        seed=seed_from_generator(step_generator),
    )


def _fit(
    folder: Path,
    module: TrainableModule,
    pipelines: ProteinPipelines,
    *,
    steps: int,
    checkpoint: Path | None,
    callbacks: Sequence[Callback],
) -> History:
    """Train the model and return the history of its losses."""
    history = History(folder / "metrics.csv")
    data = PipelineDataModule(train=pipelines.train, validation=pipelines.held_out, batches_per_epoch=EVALUATE_EVERY)
    saving = ModelCheckpoint(folder, "checkpoint", save_on_train_epoch_end=True, enable_version_counter=False)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        limit_val_batches=0 if pipelines.held_out is None else None,
        gradient_clip_val=1.0,
        logger=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[
            history,
            TQDMProgressBar() if is_terminal else ProgressLines(history, steps=steps),
            saving,
            *callbacks,
        ],
        enable_progress_bar=is_terminal,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    if checkpoint is None and pipelines.held_out is not None:
        trainer.validate(module, data, verbose=False)
    trainer.fit(module, data, ckpt_path=checkpoint)
    if pipelines.held_out is not None:
        trainer.validate(module, data, verbose=False)
    return history


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _report(history: History, pipelines: ProteinPipelines, folder: Path) -> None:
    """Plot the losses of a finished run and print its results as a table."""
    rows = [history.rows[step] for step in sorted(history.rows)]
    trained = [row for row in rows if row["train_loss"] is not None]
    recent = trained[-EVALUATE_EVERY:]
    tokens, cells = (sum(row[name] for row in trained) for name in ("tokens", "cells"))
    speed = f"{history.tokens / history.seconds:,.0f}" if history.tokens else "no steps left to train"
    table = {
        "steps": str(len(trained)),
        "tokens per second": speed,
        "padding fraction": f"{1 - tokens / cells:.1%}",
        f"train loss, mean of {len(recent)} steps": f"{_mean([row['train_loss'] for row in recent]):.3f} nats",
        "held-out loss": "no held-out set: fewer than 10 records",
    }
    entropy = None
    if pipelines.held_out is not None:
        held_out = pipelines.held_out.sources[0].dataset
        entropy = unigram_entropy(held_out[idx] for idx in range(len(held_out)))
        before, after = rows[0]["held_out_loss"], rows[-1]["held_out_loss"]
        table["held-out loss"] = f"{after:.3f} nats (untrained: {before:.3f})"
        table["unigram entropy, held out"] = f"{entropy:.3f} nats"
    table["order id"] = fingerprint(pipelines.train.order)
    history.write()
    picture = plot_losses(rows, baseline=entropy)
    write_atomically(folder / "loss.png", lambda file: file.write(picture))
    width = max(map(len, table))
    say("\n" + "\n".join(f"{name:<{width}}  {value}" for name, value in table.items()))


def _run(options: argparse.Namespace, callbacks: Sequence[Callback]) -> None:
    settings = _settings(options)
    proteins = embedded_proteins() if settings.fasta is None else read_proteins(Path(settings.fasta))
    data_generator, fit_generator = split(make_generator(settings.seed))
    pipelines = make_pipelines(
        proteins,
        batch_size=settings.batch_size,
        max_length=settings.max_length,
        generator=data_generator,
        packed=settings.packed,
    )
    sequences = "\n".join(protein.sequence for protein in proteins)
    record = {
        "seed": settings.seed,
        "sequences": hashlib.sha256(sequences.encode()).hexdigest(),
        "pipeline": pipeline_spec(pipelines.train),
        "order_id": fingerprint(pipelines.train.order),
    }
    lengths = [len(encode(protein.sequence)) for protein in proteins]
    module = _make_module(max_length=min(settings.max_length, max(lengths)), generator=fit_generator)
    folder = options.resume or options.out or new_folder()
    if options.resume is None:
        make_folder(folder)
    with locked(folder):
        checkpoint = None
        if options.resume is None:
            make_folder(folder)  # again: another process may have trained in it meanwhile
        else:
            check_same_order(folder, record)
            checkpoint = find_checkpoint(folder)
        num_cropped = sum(length > settings.max_length for length in lengths)
        try:
            write_run(folder, settings=settings, record=record)
            say(
                f"{len(proteins):,} proteins, {num_cropped:,} of them cropped to {settings.max_length} tokens: {folder}"
            )
            history = _fit(folder, module, pipelines, steps=settings.steps, checkpoint=checkpoint, callbacks=callbacks)
            _report(history, pipelines, folder)
        except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into a silent exit
            say(f"\nprotein_mlm: interrupted. Resume from the last checkpoint with --resume {folder}", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise
            message = f"{error}. Then resume from the last checkpoint with --resume {folder}."
            raise BadInputError(message) from error


def main(arguments: Sequence[str] | None = None, *, callbacks: Sequence[Callback] = ()) -> int:
    """Run the program and return its exit code: 0 for success, 2 for bad input. Ctrl-C exits with 130.

    Args:
        arguments: the command line after the program's name; by default that of the process.
        callbacks: Lightning callbacks that observe the training.
    """
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message="The dirpath has changed")  # a moved folder can be resumed
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec")  # Lightning under torch 2.13
        try:
            logger.setLevel(logging.WARNING)
            _run(_parse(arguments), callbacks)
        except BadInputError as error:
            say(f"protein_mlm: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            logger.setLevel(level)
    return 0


if __name__ == "__main__":
    sys.exit(main())
