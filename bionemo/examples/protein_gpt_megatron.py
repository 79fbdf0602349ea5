"""Train a small causal language model of proteins: megatron-core's GPT, each layer split over two processes."""

import os
import sys
import uuid
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Final

import attrs
import torch
from torch import Tensor
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bionemo.adapters.megatron import (
    MegatronGPTConfig,
    TransformerSizes,
    forward_step,
    iter_micro_batches,
    model_parallel,
    rank_and_world_size,
)
from bionemo.core.model.config import build_model
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.core.random import make_generator, seed_from_generator, split
from bionemo.data import next_token_labels
from bionemo.data.pipes import loader
from bionemo.examples.protein_mlm.bad_input import BadInputError
from bionemo.examples.protein_mlm.command_line import INTERRUPTED, Parser, integer, say
from bionemo.examples.protein_mlm.pipelines import make_pipelines, unigram_entropy
from bionemo.examples.protein_mlm.proteins import AMINO_ACID_IDS, VOCABULARY, embedded_proteins

__all__ = ["main", "residue_labels"]

CONFIG: Final = MegatronGPTConfig(
    transformer=TransformerSizes(num_layers=2, hidden_size=64, num_attention_heads=4),
    vocab_size=len(VOCABULARY),
    max_length=128,
)


def residue_labels(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:  # noqa: ARG001 - no draws
    """Return a batch with each token's next residue as its label, if that is a standard amino acid."""
    labels = next_token_labels(batch["ids"], batch["mask"])
    is_residue = torch.isin(labels, torch.tensor(AMINO_ACID_IDS, device=labels.device))
    return {**batch, "labels": labels.where(is_residue, IGNORE_INDEX)}


def _train(*, steps: int, seed: int) -> None:
    data_generator, model_generator, step_generator = split(make_generator(seed), 3)
    proteins = embedded_proteins()
    pipelines = make_pipelines(proteins, batch_size=16, max_length=CONFIG.max_length, generator=data_generator)
    pipeline = attrs.evolve(pipelines.train, batch_transform=residue_labels)
    model = build_model(CONFIG, generator=model_generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    step_func = partial(
        forward_step, loss=CONFIG.get_loss_reduction_class()(), seed=seed_from_generator(step_generator)
    )
    batches = iter_micro_batches(loader(pipeline, *rank_and_world_size(), batches_per_epoch=steps))
    processes = torch.distributed.get_world_size()
    torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    tell = say if torch.distributed.get_rank() == 0 else lambda _: None
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    tell(f"{len(proteins):,} proteins; processes: {processes}, weights in each: {num_weights:,}\n step   loss")
    recent: list[float] = []
    for number in range(1, steps + 1):
        output, loss_func = step_func(batches, model)
        loss_sum, num_tokens, _ = loss_func(output)
        loss = loss_sum / num_tokens
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        recent = [*recent[-24:], float(loss.detach())]
        if number == 1 or number % 25 == 0 or number == steps:
            tell(f"{number:5}  {sum(recent) / len(recent):.3f}")
    entropy = unigram_entropy(pipeline.sources[0].dataset[idx] for idx in range(len(pipeline.sources[0].dataset)))
    tell(f"nats per residue, mean of up to 25 steps; amino-acid frequencies alone give {entropy:.3f}")


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = Parser(prog="python -m bionemo.examples.protein_gpt_megatron", description=__doc__)
    for name, usual, text in (("steps", 200, "number of optimizer steps"), ("seed", 42, "seed of all randomness")):
        number = partial(integer, name=name)
        parser.add_argument(f"--{name}", metavar="N", type=number, default=usual, help=f"{text} (default: {usual})")
    parser.add_argument(
        "--processes", type=int, choices=(1, 2), default=2, help="processes that share each layer (default: 2)"
    )
    options = parser.parse_args(arguments)
    if find_spec("megatron") is None:
        message = "megatron-core isn't installed: pip install 'bionemo-core[megatron]'"
        raise BadInputError(message)
    return options


def _start_processes(number: int, arguments: Sequence[str]) -> int:
    """Start this program in several processes, as torchrun does, and return its exit code."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "bionemo.examples.protein_gpt_megatron", *arguments)
    except SignalException as signalled:
        return 128 + int(signalled.sigval)  # the exit code of a shell
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = f"ended by {failure.signal_name()}" if failure.exitcode < 0 else f"failed with code {failure.exitcode}"
        say(f"protein_gpt_megatron: process {rank} {ended}.", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0; 1 if a process failed; 2 for invalid input; 130 for Ctrl-C.

    Args:
        arguments: the command line after the program's name; that of this process by default.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = _parse(given)
        if not torch.distributed.is_torchelastic_launched() and options.processes > 1:
            return _start_processes(options.processes, given)
        if int(os.environ.get("WORLD_SIZE", "1")) != options.processes:
            message = (
                f"--processes must be the number that torchrun started, got {options.processes}. Run without torchrun."
            )
            raise BadInputError(message)  # noqa: TRY301
        with model_parallel(tensor_model_parallel_size=options.processes), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*CUDA_DEVICE_MAX_CONNECTIONS")  # advice for GPUs only
            _train(steps=options.steps, seed=options.seed)
    except BadInputError as error:
        say(f"protein_gpt_megatron: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
