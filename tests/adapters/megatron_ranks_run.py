"""Program that test_megatron_ranks.py starts under torchrun: it trains, and writes the results of each rank."""

import json
import sys
from pathlib import Path

import torch.distributed

from tests.adapters.megatron_on_cpu import megatron_on_cpu
from tests.adapters.megatron_training import train


def main(runs: str, folder: str) -> None:
    """Train once per entry of `runs`, a JSON object from a name to the arguments of `train`."""
    torch.distributed.init_process_group("gloo")
    with megatron_on_cpu():
        for name, arguments in json.loads(runs).items():
            result = train(**arguments)
            Path(folder, f"{name} {torch.distributed.get_rank()}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
