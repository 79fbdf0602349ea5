"""Tests of the Lightning adapter on two ranks: DDP over gloo, started by torchrun and resumed in new processes."""

import json
from pathlib import Path

import pytest
import torch

from bionemo.data import batch_at
from tests.adapters import trainers
from tests.adapters.trainers import TRAIN, run
from tests.torchrun import run_on_ranks

pytestmark = [
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:the loader continues with other functions"),  # a script calls its own __main__
]

RUNS = {
    "plain": {"steps": 8, "num_workers": 1},
    "accumulated": {"steps": 5, "accumulate_grad_batches": 2, "save_batches": True, "num_validations": 2},
    "all at once": {
        "steps": 5,
        "accumulate_grad_batches": 2,
        "val_check_interval": 2,
        "limit_train_batches": 4,
        "num_validations": 2,
        "num_workers": 2,
    },
    "without dropout": {"steps": 8, "dropout": 0.0},
}
RESUMED = {
    "plain within an epoch": ("plain", "step=3"),
    "plain at the end of an epoch": ("plain", "step=5"),
    "accumulated": ("accumulated", "step=3"),
    "accumulated, between two steps": ("accumulated", "batch=2"),
    "all at once, within an epoch": ("all at once", "step=3"),
    "all at once, at the end of one": ("all at once", "step=2"),
}


def train_on_two_ranks(folder: Path, runs: list[dict]) -> None:
    """Train each of the runs on two ranks."""
    for arguments in runs:
        Path(arguments["folder"]).mkdir()
    (folder / "runs.json").write_text(json.dumps(runs))
    run_on_ranks(trainers.__file__, folder / "runs.json", ranks=2, timeout=240)


def read(folder: Path) -> tuple[dict[int, list], list[dict], dict[str, torch.Tensor]]:
    """Return a run's batches over both ranks, the validation metrics per rank, and the weights."""
    ranks = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]
    batches = {int(step): ranks[0]["batches"][step] + ranks[1]["batches"][step] for step in ranks[0]["batches"]}
    return batches, [rank["validations"] for rank in ranks], torch.load(folder / "weights.pt", weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    train_on_two_ranks(
        folder, [{"folder": str(folder / name), "world_size": 2} | given for name, given in RUNS.items()]
    )
    return folder


@pytest.fixture(scope="module")
def resumed(uninterrupted, tmp_path_factory) -> Path:
    """Resume the runs in new processes; one was begun on a single rank."""
    folder = tmp_path_factory.mktemp("resumed")
    runs = [
        {"folder": str(folder / name), "world_size": 2, "checkpoint": str(uninterrupted / of / f"{stop}.ckpt")}
        | RUNS[of]
        for name, (of, stop) in RESUMED.items()
    ]
    run(folder / "one process", steps=3, dropout=0.0)
    begun = {"checkpoint": str(folder / "one process" / "step=3.ckpt"), "folder": str(folder / "more ranks")}
    train_on_two_ranks(folder, [*runs, {"world_size": 2, **RUNS["without dropout"], **begun}])
    return folder


def test_the_ranks_together_read_the_batches_of_the_pipeline(uninterrupted) -> None:
    for name in RUNS:
        batches, validations, _ = read(uninterrupted / name)
        assert batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(len(batches))}
        assert validations[0] == validations[1] != {}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_ranks_resume_with_the_same_batches_and_weights(uninterrupted, resumed, name: str) -> None:
    whole, validated, weights = read(uninterrupted / RESUMED[name][0])
    batches, again, resumed_weights = read(resumed / name)
    assert batches == {step: ids for step, ids in whole.items() if step >= min(batches)}
    assert again[0].items() <= validated[0].items()
    assert len(batches) < len(whole)
    # Between accumulated batches, the gradient is averaged in two parts: the sum may differ in the last bit.
    tolerance = 1e-12 if "between" in name else 0
    for key, part in weights.items():
        torch.testing.assert_close(resumed_weights[key], part, rtol=tolerance, atol=0)


def test_two_ranks_train_and_validate_like_one(uninterrupted, tmp_path: Path) -> None:
    """The ranks have unequal numbers of tokens, and the last validation batch has 3 samples."""
    module, recorder, _ = run(tmp_path, steps=8, dropout=0.0)
    _, validations, weights = read(uninterrupted / "without dropout")
    for name, part in module.state_dict().items():
        torch.testing.assert_close(weights[name], part, rtol=1e-12, atol=1e-12)
    expected = {str(step): pytest.approx(found, rel=1e-6) for step, found in recorder.validations.items()}
    assert validations[0] == expected


@pytest.mark.slow
def test_the_number_of_ranks_may_change(uninterrupted, resumed, tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole", steps=8, dropout=0.0)
    fewer, recorder, _ = run(
        tmp_path / "fewer", steps=8, dropout=0.0, checkpoint=uninterrupted / "without dropout" / "step=3.ckpt"
    )
    assert recorder.batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(3, 8)}
    batches, _, more = read(resumed / "more ranks")
    assert batches == recorder.batches
    for name, part in whole.state_dict().items():
        torch.testing.assert_close(fewer.state_dict()[name], part, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(more[name], part, rtol=1e-12, atol=1e-12)
