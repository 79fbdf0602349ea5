"""FSDP2 and distributed checkpoints on a CUDA device, with NCCL for the training and gloo for the checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed

from bionemo.data import read_run_log, verify_run
from tests.adapters.distributed_training import make_pipeline, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="NCCL needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:FSDP2-wrapped module"),
]

STEPS = 9


@contextmanager
def one_rank(device: torch.device | None = None) -> Iterator[None]:
    """Make a process group of NCCL alone, for this process."""
    torch.cuda.set_device(0)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("nccl", store=store, rank=0, world_size=1, device_id=device)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("device", [None, torch.device("cuda", 0)], ids=["any device", "device of the group"])
def test_a_sharded_run_on_a_gpu_resumes_with_the_weights_of_one_that_was_never_stopped(
    tmp_path: Path, device: torch.device | None
) -> None:
    on_gpu = {"sizes": {"shards": 1}, "device": "cuda"}
    (tmp_path / "whole").mkdir()
    with one_rank(device):
        expected = train(tmp_path / "whole", steps=STEPS, **on_gpu)
        train(tmp_path, steps=5, save_every=2, **on_gpu)
        torch.testing.assert_close(train(tmp_path, steps=STEPS, **on_gpu), expected, rtol=0, atol=1e-5)
    summary = verify_run(read_run_log(tmp_path / "log.jsonl"), make_pipeline())
    assert (summary.num_steps, summary.num_replaced) == (STEPS, 1)


def test_a_checkpoint_of_a_gpu_resumes_unsharded_on_the_cpu(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    expected = train(tmp_path / "whole", steps=STEPS)
    with one_rank():
        train(tmp_path, steps=4, save_every=2, sizes={"shards": 1}, device="cuda")
    torch.testing.assert_close(train(tmp_path, steps=STEPS), expected, rtol=0, atol=1e-3)
