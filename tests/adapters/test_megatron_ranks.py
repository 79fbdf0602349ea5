"""Megatron-core's schedules on real gloo ranks under torchrun, compared with one process."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from bionemo.data import batch_at
from tests.adapters import megatron_ranks_run
from tests.adapters.megatron_on_cpu import megatron_on_cpu
from tests.adapters.megatron_training import make_pipeline, train
from tests.torchrun import run_on_ranks

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # deprecated parts of torch in megatron-core

TENSOR = {"tensor_model_parallel_size": 2}
STAGES = {"pipeline_model_parallel_size": 2}
CONTEXT = {"context_parallel_size": 2}
# Some gradients are nothing but rounding errors, e.g. that of a bias added to all keys. Adam would divide them by their
# own size, and so amplify them.
PLAIN_DESCENT = {"optimizer": "sgd", "lr": 0.3}

RUNS = {
    "tensor": {"sizes": TENSOR, "save_at": 8},
    "tensor bert": {
        "kind": "bert",
        "sizes": TENSOR,
        "position_embedding_type": "learned_absolute",
        "optimizer_options": PLAIN_DESCENT,
    },
    "data": {"dropout": 0.0, "sizes": {}},
    "data bert, four micro-batches": {
        "kind": "bert",
        "dropout": 0.0,
        "num_micro_batches": 4,
        "optimizer_options": PLAIN_DESCENT,
    },
    "stages": {"sizes": STAGES, "save_at": 8, "dropout": 0.0},
}
SLOW_RUNS = {
    "tensor shared": {"sizes": TENSOR, "share_embeddings": True, "steps": 5},
    "stages shared": {"sizes": STAGES, "save_at": 3, "steps": 6, "dropout": 0.0, "share_embeddings": True},
}
PACKED = {"packed": True, "dropout": 0.0, "steps": 8}
PACKED_BERT = PACKED | {"kind": "bert", "optimizer_options": PLAIN_DESCENT}
PACKED_RUNS = {
    "context": {**PACKED, "sizes": CONTEXT, "save_at": 4},
    "context bert": {**PACKED_BERT, "sizes": CONTEXT},
    "context bert, learned": {**PACKED_BERT, "sizes": CONTEXT, "position_embedding_type": "learned_absolute"},
    "stages packed": {**PACKED, "sizes": STAGES, "save_at": 4},
    "stages packed bert": {**PACKED, "kind": "bert", "sizes": STAGES, "save_at": 4},
    "stages bert": {"kind": "bert", "dropout": 0.0, "sizes": STAGES, "save_at": 4, "steps": 8},
    "data packed": {**PACKED, "sizes": {}},
}
PACKED_RUNS_OF_FOUR = {
    "context and stages": {**PACKED, "sizes": CONTEXT | STAGES},
    "context and tensor": {**PACKED, "sizes": CONTEXT | TENSOR},
    "context and data": {**PACKED, "sizes": CONTEXT},
}
ALONE = {
    "tensor": {},
    "tensor bert": {
        "kind": "bert",
        "position_embedding_type": "learned_absolute",
        "optimizer_options": PLAIN_DESCENT,
    },
    "data": {"dropout": 0.0},
    "data bert, four micro-batches": {
        "kind": "bert",
        "dropout": 0.0,
        "num_micro_batches": 1,
        "optimizer_options": PLAIN_DESCENT,
    },
}


def train_on_ranks(folder: Path, runs: dict[str, dict], processes: int = 2) -> None:
    """Do some training runs on several ranks, which write their losses and checkpoints to a folder."""
    checkpoints = {name: {"checkpoint": str(folder / name)} for name in runs if "save_at" in runs[name]}
    given = json.dumps({name: arguments | checkpoints.get(name, {}) for name, arguments in runs.items()})
    run_on_ranks(
        megatron_ranks_run.__file__, given, folder, ranks=processes, timeout=300, env={"PYTHONWARNINGS": "ignore"}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the results of all runs on two ranks."""
    folder = tmp_path_factory.mktemp("megatron")
    train_on_ranks(folder, RUNS)
    return folder


def read(folder: Path, name: str) -> tuple[dict, dict]:
    first, second = (json.loads((folder / f"{name} {rank}.json").read_text()) for rank in range(2))
    return first, second


def alone(**arguments) -> dict:
    with megatron_on_cpu():
        return train(**arguments)


@pytest.mark.parametrize("name", ALONE)
def test_two_ranks_have_the_losses_of_one_process(folder: Path, name: str) -> None:
    """Tensor-parallel ranks also with dropout: they drop what one process drops."""
    check_losses(folder, name, ALONE[name])


def check_losses(folder: Path, name: str, arguments: dict) -> None:
    first, second = read(folder, name)
    expected = alone(**arguments)["losses"]
    assert len(expected) >= 5
    assert first["losses"] == second["losses"] == pytest.approx(expected, abs=1e-5)
    half = len(expected) // 2
    assert fmean(expected[half:]) < fmean(expected[:half])  # it learns; single steps have masks of their own


def test_ranks_that_share_a_model_read_the_same_rows_and_data_parallel_ranks_their_parts(folder: Path) -> None:
    for name in ("tensor", "tensor bert", "stages"):
        first, second = read(folder, name)
        assert first["rows"] == second["rows"]
        assert sum(first["rows"], []) == rows_from(0, len(first["rows"]) // 2)
    first, second = read(folder, "data")
    assert [one + other for one, other in zip(first["rows"], second["rows"], strict=True)] == [
        micro for step in range(20) for micro in halves(rows_from(step, 1))
    ]


def rows_from(step: int, steps: int) -> list[int]:
    return [row for number in range(step, step + steps) for row in batch_at(make_pipeline(), number)["row"].tolist()]


def halves(rows: list[int]) -> list[list[int]]:
    return [rows[:4], rows[4:]]


@pytest.mark.parametrize(("name", "changes"), [("tensor", {}), ("stages", {"num_micro_batches": 4})])
def test_a_checkpoint_of_two_ranks_resumes_in_one_process_at_the_next_sample_with_the_same_loss(
    folder: Path, name: str, changes: dict
) -> None:
    """Without dropout, also with another number of micro-batches."""
    check_resume(folder, name, RUNS[name], changes)


def check_resume(folder: Path, name: str, run: dict, changes: dict) -> None:
    steps, saved_at = run.get("steps", 20), run["save_at"]
    arguments = {key: value for key, value in run.items() if key not in {"sizes", "save_at", "steps"}}
    found = alone(**arguments, **changes, checkpoint=str(folder / name), resume=True, steps=steps - saved_at)
    if run.get("packed"):
        assert found["rows"] == read(folder, name)[1]["rows"][2 * saved_at :]  # two micro-batches per step
    else:
        assert sum(found["rows"], []) == rows_from(saved_at, steps - saved_at)
    expected = read(folder, name)[1]["losses"]  # only the last stage knows the loss
    assert found["losses"] == pytest.approx(expected[saved_at:], abs=1e-5)


def test_stages_have_different_layers_and_the_last_one_the_loss(folder: Path) -> None:
    first, second = read(folder, "stages")
    assert first["losses"] == []
    assert len(second["losses"]) == 20
    assert first["weights"] != second["weights"]


@pytest.mark.slow
def test_tensor_parallel_ranks_and_stages_may_share_the_embeddings(tmp_path: Path) -> None:
    train_on_ranks(tmp_path, SLOW_RUNS)
    check_losses(tmp_path, "tensor shared", {"share_embeddings": True, "steps": 5})
    check_resume(tmp_path, "stages shared", SLOW_RUNS["stages shared"], {})


@pytest.mark.slow
def test_two_stages_of_two_tensor_parallel_ranks_drop_what_two_stages_of_one_rank_drop(tmp_path: Path) -> None:
    train_on_ranks(tmp_path, {"stages": {"sizes": STAGES, "optimizer_options": PLAIN_DESCENT}})
    train_on_ranks(tmp_path, {"both": {"sizes": STAGES | TENSOR, "optimizer_options": PLAIN_DESCENT}}, processes=4)
    expected, *found = (
        json.loads((tmp_path / name).read_text())["losses"] for name in ("stages 1.json", "both 2.json", "both 3.json")
    )
    assert len(expected) == 20
    assert found[0] == found[1] == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the results of all packed runs on two and four ranks."""
    folder = tmp_path_factory.mktemp("packed")
    train_on_ranks(folder, PACKED_RUNS)
    train_on_ranks(folder, PACKED_RUNS_OF_FOUR, processes=4)
    return folder


def losses(folder: Path, name: str, rank: int = 0) -> list[float]:
    return json.loads((folder / f"{name} {rank}.json").read_text())["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["context", "context bert", "context bert, learned"])
def test_context_parallel_ranks_have_the_losses_of_one_process(packed: Path, name: str) -> None:
    """They compute different tokens of the same packed batches."""
    first, second = read(packed, name)
    arguments = {key: value for key, value in PACKED_RUNS[name].items() if key not in {"sizes", "save_at"}}
    expected = alone(**arguments)
    assert first["losses"] == second["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    assert first["rows"] == second["rows"] == expected["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["context", "stages packed", "stages packed bert", "stages bert"])
def test_checkpoints_of_context_parallel_ranks_and_of_stages_resume_in_one_process(packed: Path, name: str) -> None:
    check_resume(packed, name, PACKED_RUNS[name], {})


@pytest.mark.slow
def test_context_parallelism_goes_with_stages_tensor_and_data_parallelism(packed: Path) -> None:
    expected = losses(packed, "stages packed", 1)
    found = [losses(packed, "context and stages", rank) for rank in range(4)]
    assert found[:2] == [[], []]  # the first stage
    assert found[2] == found[3] == pytest.approx(expected, abs=1e-5)
    for name, alike in (
        ("context and tensor", losses(packed, "context")),
        ("context and data", losses(packed, "data packed")),
    ):
        found = [losses(packed, name, rank) for rank in range(4)]
        assert found == [pytest.approx(alike, abs=1e-5)] * 4
