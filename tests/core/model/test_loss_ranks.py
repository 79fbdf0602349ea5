"""Losses over several processes."""

from pathlib import Path

from tests.core.model import loss_ranks_run
from tests.torchrun import run_on_ranks


def test_a_batch_split_over_ranks_has_the_loss_and_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    """Sixty batches over three gloo ranks with two micro-batches each; some ranks have no token."""
    run_on_ranks(loss_ranks_run.__file__, tmp_path, ranks=3, timeout=120)
    assert all(int((tmp_path / f"{rank}.txt").read_text()) > 3 for rank in range(3))
