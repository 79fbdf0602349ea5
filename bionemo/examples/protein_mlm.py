"""Train a small masked-language model on proteins: from a FASTA file to a checkpoint from which a later run goes on."""

import argparse
import hashlib
import logging
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import attrs
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule
from bionemo.core.utils.random_utils import make_generator, seed_from_generator, split
from bionemo.data import order_id, pipeline_record
from bionemo.examples.bad_input import BadInputError
from bionemo.examples.history import History, plot_losses
from bionemo.examples.protein_model import ProteinModelConfig
from bionemo.examples.protein_pipelines import ProteinPipelines, make_pipelines, unigram_entropy
from bionemo.examples.proteins import VOCABULARY, embedded_proteins, encode, read_proteins
from bionemo.examples.run_folder import (
    Settings,
    check_same_order,
    find_checkpoint,
    load_settings,
    make_folder,
    new_folder,
    write_atomically,
    write_run,
)

__all__ = ["main"]

EVALUATE_EVERY: Final = 50
"""Steps between two measurements of the held-out loss, each followed by a checkpoint."""


_INTERRUPTED: Final = 130
"""Exit code of a program ended by Ctrl-C, as shells count."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(message + ". See --help.")


def _integer(text: str, *, low: int, high: int = 2**63 - 1) -> int:
    number = int(text)
    if not low <= number <= high:
        message = f"must be in {low}..{high}, got {number}"
        raise argparse.ArgumentTypeError(message)
    return number


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m bionemo.examples.protein_mlm", description=__doc__)
    usual = Settings()
    positive = partial(_integer, low=1)
    parser.add_argument(
        "--fasta", metavar="FILE", type=Path, help="proteins, plain or gzipped (default: 2,170 of Swiss-Prot)"
    )
    parser.add_argument("--steps", metavar="N", type=positive, help=f"optimizer steps in all (default: {usual.steps})")
    parser.add_argument(
        "--batch-size", metavar="B", type=positive, help=f"proteins in a step (default: {usual.batch_size})"
    )
    parser.add_argument(
        "--max-length",
        metavar="L",
        type=positive,
        help=f"tokens in a row; longer ones are cropped (default: {usual.max_length})",
    )
    parser.add_argument(
        "--seed", metavar="S", type=partial(_integer, low=0), help=f"of all that is random (default: {usual.seed})"
    )
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--out", metavar="DIR", type=Path, help="folder of the run (default: a new one in runs/)")
    folder.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the run in this folder, with its own settings"
    )
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of a resumed run, or the usual ones, with what was given in their place."""
    base = Settings() if options.resume is None else load_settings(options.resume)
    given = {name: getattr(options, name) for name in ("steps", "batch_size", "max_length", "seed")}
    given["fasta"] = None if options.fasta is None else str(options.fasta.absolute())
    return attrs.evolve(base, **{name: value for name, value in given.items() if value is not None})


def _fit(
    folder: Path,
    settings: Settings,
    pipelines: ProteinPipelines,
    *,
    checkpoint: Path | None,
    callbacks: Sequence[Callback],
    generator: torch.Generator,
) -> History:
    """Train, and return what was measured."""
    model_generator, step_generator = split(generator)
    history = History(folder / "metrics.csv")
    module = TrainableModule(
        ProteinModelConfig(vocabulary_size=len(VOCABULARY), max_length=settings.max_length),
        optimizer=partial(torch.optim.AdamW, lr=3e-3, betas=(0.9, 0.98)),
        schedule=partial(torch.optim.lr_scheduler.LinearLR, start_factor=0.02, total_iters=50),
        generator=model_generator,
        seed=seed_from_generator(step_generator),
    )
    data = PipelineDataModule(train=pipelines.train, validation=pipelines.held_out, batches_per_epoch=EVALUATE_EVERY)
    saving = ModelCheckpoint(folder, "checkpoint", save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=settings.steps,
        limit_val_batches=0 if pipelines.held_out is None else None,
        gradient_clip_val=1.0,
        logger=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[history, TQDMProgressBar(), saving, *callbacks],
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
    """Draw the losses of a finished run, and print its end as a table."""
    rows = [history.rows[step] for step in sorted(history.rows)]
    trained = [row for row in rows if row["train_loss"] is not None]
    recent = trained[-EVALUATE_EVERY:]
    real, places = (sum(row[name] for row in trained) for name in ("tokens", "places"))
    table = {
        "steps": str(len(trained)),
        "tokens per second": f"{history.tokens / history.seconds:,.0f}"
        if history.tokens
        else "no step was left to train",
        "share of padding": f"{1 - real / places:.1%}",
        f"train loss, mean of {len(recent)} steps": f"{_mean([row['train_loss'] for row in recent]):.3f} nats",
        "held-out loss": "no held-out set: fewer than 10 records",
    }
    entropy = None
    if pipelines.held_out is not None:
        held_out = pipelines.held_out.sources[0].dataset
        entropy = unigram_entropy(held_out[place] for place in range(len(held_out)))
        before, after = rows[0]["held_out_loss"], rows[-1]["held_out_loss"]
        table["held-out loss"] = f"{after:.3f} nats (untrained: {before:.3f})"
        table["unigram entropy, held out"] = f"{entropy:.3f} nats"
    table["order id"] = order_id(pipelines.train.order)
    history.write()
    write_atomically(folder / "loss.png", plot_losses(rows, baseline=entropy))
    width = max(map(len, table))
    print("\n" + "\n".join(f"{name:<{width}}  {value}" for name, value in table.items()))


def _run(options: argparse.Namespace, callbacks: Sequence[Callback]) -> None:
    settings = _settings(options)
    proteins = embedded_proteins() if settings.fasta is None else read_proteins(Path(settings.fasta))
    data_generator, fit_generator = split(make_generator(settings.seed))
    pipelines = make_pipelines(
        proteins, batch_size=settings.batch_size, max_length=settings.max_length, generator=data_generator
    )
    sequences = "\n".join(protein.sequence for protein in proteins)
    record = {
        "seed": settings.seed,
        "sequences": hashlib.sha256(sequences.encode()).hexdigest(),
        "pipeline": pipeline_record(pipelines.train),
        "order_id": order_id(pipelines.train.order),
    }
    folder = options.resume or options.out or new_folder()
    if options.resume is None:
        make_folder(folder)
    else:
        check_same_order(folder, record)
    checkpoint = find_checkpoint(folder)
    write_run(folder, settings=settings, record=record)
    num_cropped = sum(len(encode(protein.sequence)) > settings.max_length for protein in proteins)
    print(f"{len(proteins):,} proteins, {num_cropped:,} of them cropped to {settings.max_length} tokens: {folder}")
    try:
        history = _fit(folder, settings, pipelines, checkpoint=checkpoint, callbacks=callbacks, generator=fit_generator)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit without a word
        print(f"\nprotein_mlm: interrupted. Go on from the last checkpoint by --resume {folder}", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    _report(history, pipelines, folder)


def main(arguments: Sequence[str] | None = None, *, callbacks: Sequence[Callback] = ()) -> int:
    """Run the program and return its exit code: 0, or 2 for input that can't be used; Ctrl-C exits with 130.

    Args:
        arguments: the command line behind the program's name; that of the process by default.
        callbacks: Lightning callbacks to watch the training by.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message="The dirpath has changed")  # the folder was moved: as good as ever
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec")  # Lightning under torch 2.13
        try:
            _run(_parse(arguments), callbacks)
        except BadInputError as error:
            print(f"protein_mlm: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
