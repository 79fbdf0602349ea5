"""Run by test_megatron_ranks.py under torchrun: goes through runs, and writes what each rank found."""

import json
import sys
from pathlib import Path

import torch.distributed

from tests.adapters.megatron_on_cpu import megatron_on_cpu
from tests.adapters.megatron_training import train


def main(runs: str, folder: str) -> None:
    """Take runs as JSON: the arguments of `train` by name."""
    torch.distributed.init_process_group("gloo")
    with megatron_on_cpu():
        for name, arguments in json.loads(runs).items():
            found = train(**arguments)
            Path(folder, f"{name} {torch.distributed.get_rank()}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
