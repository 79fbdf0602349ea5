"""Losses over several processes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.core.model import loss_ranks_run


def test_a_batch_split_over_ranks_has_the_loss_and_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    """Sixty batches over three gloo ranks with two micro-batches each; some ranks have no token."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]
    found = subprocess.run(
        [*torchrun, loss_ranks_run.__file__, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert all(int((tmp_path / f"{rank}.txt").read_text()) > 3 for rank in range(3))
