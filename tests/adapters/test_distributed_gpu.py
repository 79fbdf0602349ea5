"""FSDP2 and distributed checkpoints on a CUDA device, with NCCL for the training and gloo for the checkpoints."""

from collections.abc import Iterator
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


@pytest.fixture(params=[None, torch.device("cuda", 0)], ids=["any device", "device of the group"])
def one_rank(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.cuda.set_device(0)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("nccl", store=store, rank=0, world_size=1, device_id=request.param)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_a_sharded_run_on_a_gpu_resumes_with_the_weights_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    on_gpu = {"sizes": {"shards": 1}, "device": "cuda"}
    (tmp_path / "whole").mkdir()
    expected = train(tmp_path / "whole", steps=STEPS, **on_gpu)
    train(tmp_path, steps=5, save_every=2, **on_gpu)
    torch.testing.assert_close(train(tmp_path, steps=STEPS, **on_gpu), expected, rtol=0, atol=1e-5)
    summary = verify_run(read_run_log(tmp_path / "log.jsonl"), make_pipeline())
    assert (summary.num_steps, summary.num_replaced) == (STEPS, 1)


@pytest.mark.usefixtures("one_rank")
def test_a_checkpoint_of_a_gpu_resumes_unsharded_on_the_cpu(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    expected = train(tmp_path / "whole", steps=STEPS)
    train(tmp_path, steps=4, save_every=2, sizes={"shards": 1}, device="cuda")
    torch.testing.assert_close(train(tmp_path, steps=STEPS), expected, rtol=0, atol=1e-3)
