"""Ranks that share a model get the same batches without a message between them."""

from pathlib import Path

from tests.torchrun import run_on_ranks


def test_peers_read_equal_batches_and_cut_them_for_context_parallelism(tmp_path: Path) -> None:
    run_on_ranks(str(Path(__file__).with_name("peers_run.py")), tmp_path, ranks=2, timeout=120)
    numbers = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert len(numbers) == 1
    assert int(numbers.pop()) > 5
