"""The architecture: rooms, namespace, public names, no global random state, imports that do no work."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "bionemo").rglob("*.py"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES]

ROOMS = [
    "bionemo.core.checks",
    "bionemo.core.checked",
    "bionemo.core.extras",
    "bionemo.core.html",
    "bionemo.core.fields",
    "bionemo.core.arrays",
    "bionemo.core.int64",
    "bionemo.core.files",
    "bionemo.core.resources",
    "bionemo.core.frozen_array",
    "bionemo.core.record",
    "bionemo.core.random",
    "bionemo.core.padding",
    "bionemo.core.model",
    "bionemo.core.utils",
    "bionemo.core.api",
    "bionemo.data.permute",
    "bionemo.data.orders",
    "bionemo.data.reading",
    "bionemo.data.sources",
    "bionemo.data.pipeline",
    "bionemo.data.splits",
    "bionemo.data.shuffle_report",
    "bionemo.data.lookup",
    "bionemo.data.run_log",
    "bionemo.data.run_verification",
    "bionemo.data.step_table",
    "bionemo.data.batches",
    "bionemo.data.multi_epoch_wrappers",
    "bionemo.data.multi_epoch_dataset",
    "bionemo.data.resamplers",
    "bionemo.core.data",
    "bionemo.data.pipes",
    "bionemo.data.plot",
    "bionemo.data.testing",
    "bionemo.data.__main__",
    "bionemo.adapters.distributed",
    "bionemo.adapters.lightning",
    "bionemo.adapters.megatron",
    "bionemo.adapters.huggingface",
    "bionemo.examples.minimal",
    "bionemo.examples.protein_mlm",
    "bionemo.examples.fsdp2",
    "bionemo.examples.protein_gpt_megatron",
]
"""Folders, and files beside them, from the ground up: each imports from itself and from what is below it."""

PACKAGES = {"bionemo", "bionemo.core", "bionemo.data", "bionemo.adapters", "bionemo.examples"}
"""What holds the rooms, and exports names of them."""

OTHER_LIBRARIES = {
    "accelerate": {"bionemo.adapters.huggingface"},
    "transformers": {"bionemo.adapters.huggingface"},
    "torchdata": {"bionemo.data.pipes.nodes"},
    "lightning": {"bionemo.adapters.lightning", "bionemo.examples"},
    "megatron": {"bionemo.adapters.megatron", "bionemo.examples"},
}
"""Where they may be imported."""

GLOBAL_STATE = re.compile(
    r"(torch\.(random\.|cuda\.)?(manual_seed|manual_seed_all|seed|seed_all|set_rng_state|set_rng_state_all|get_rng_state|initial_seed)"
    r"|torch\.(random\.)?default_generator\.\w+"
    r"|torch\.random\.fork_rng"
    r"|random\.\w+"
    r"|(np|numpy)\.random\.(?!default_rng|Generator|MT19937)\w+)"
)
"""Calls that read or move a global random state."""

UNSEEDED = re.compile(
    r"torch\.(rand|randn|randint|rand_like|randn_like|randint_like|randperm|normal|bernoulli|multinomial|poisson)"
    r"|\w+\.(normal_|uniform_|random_|bernoulli_|exponential_|geometric_|cauchy_|log_normal_)"
    r"|(F|functional|torch\.nn\.functional|nn\.functional)\.\w*dropout\w*"
)
"""Calls that do so unless they are handed a generator."""


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_namespace_is_open_to_other_distributions() -> None:
    assert not (ROOT / "bionemo" / "__init__.py").exists()


@pytest.mark.parametrize("package", ["core", "data", "adapters", "examples"])
def test_each_package_is_typed(package: str) -> None:
    assert (ROOT / "bionemo" / package / "py.typed").exists()


def room_of(module: str) -> int | None:
    module = re.sub(r"\.record_(reading|writing)\b", ".record", module)  # the two halves of one room
    return next((number for number, room in enumerate(ROOMS) if f"{module}.".startswith(f"{room}.")), None)


@pytest.mark.parametrize(("path", "module"), list(zip(SOURCES, MODULES, strict=True)), ids=MODULES)
def test_a_module_imports_from_its_own_room_and_from_those_below(path: Path, module: str) -> None:
    room = room_of(module)
    assert (room is None) == (module in PACKAGES)
    names = imported(ast.parse(path.read_text()))
    if room is not None:
        assert [name for name in names if (room_of(name) or 0) > room] == []
    for library, users in OTHER_LIBRARIES.items():
        if any(f"{name}.".startswith(f"{library}.") for name in names):
            assert any(f"{module}.".startswith(f"{user}.") for user in users)


def packages_of(module: str) -> set[str]:
    """Return a module and the packages that it is in, which `from package import other_module` names as well."""
    parts = module.split(".")
    return {".".join(parts[:stop]) for stop in range(1, len(parts) + 1)}


def test_no_imports_run_in_a_circle() -> None:
    below = {
        module: {name for name in imported(ast.parse(path.read_text())) if name in MODULES} - packages_of(module)
        for path, module in zip(SOURCES, MODULES, strict=True)
    }
    while below:
        ground = {module for module, names in below.items() if not names & below.keys()}
        assert ground, sorted(below)
        below = {module: names for module, names in below.items() if module not in ground}


def test_files_and_folders_are_small() -> None:
    assert [path.name for path in SOURCES if len(path.read_text().splitlines()) > 250] == []
    folders = {path.parent for path in SOURCES}
    assert [folder.name for folder in folders if len(list(folder.glob("*.py"))) > 12] == []


@pytest.mark.parametrize(("path", "module"), list(zip(SOURCES, MODULES, strict=True)), ids=MODULES)
def test_no_function_touches_a_global_random_state(path: Path, module: str) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            seeded = any(keyword.arg == "generator" for keyword in node.keywords)
            if GLOBAL_STATE.fullmatch(name) or (UNSEEDED.fullmatch(name) and not seeded):
                found.append(name)
    allowed = {
        "bionemo.core.random.contexts": {
            "np.random.get_state",
            "np.random.seed",
            "np.random.set_state",
            "random.getstate",
            "random.seed",
            "random.setstate",
            "torch.random.fork_rng",
            "torch.default_generator.get_state",
            "torch.default_generator.manual_seed",
            "torch.default_generator.set_state",
            "torch.cuda.set_rng_state",
            "torch.cuda.manual_seed_all",
        },
    }
    assert set(found) == allowed.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_all_names_what_is_public(module: str) -> None:
    loaded = importlib.import_module(module)
    defined = {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module
        and callable(value)
        and not type(value).__module__.startswith("typing")
    }
    public = set(getattr(loaded, "__all__", ()))
    assert defined <= public
    assert all(hasattr(loaded, name) for name in public)


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("bionemo.examples")])
def test_every_public_function_has_an_example_that_runs(module: str) -> None:
    loaded = importlib.import_module(module)
    without = [
        name
        for name in getattr(loaded, "__all__", ())
        if inspect.isfunction(getattr(loaded, name)) and ">>> " not in (inspect.getdoc(getattr(loaded, name)) or "")
    ]
    assert without == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("bionemo.core", {"torch", "torchdata", "lightning", "megatron"}),
        (
            "bionemo.core.resources.__main__, bionemo.core.data.load, bionemo.core.data.resource",
            {"torch", "pooch", "requests", "fsspec", "s3fs", "boto3", "botocore", "huggingface_hub", "ngcsdk", "tqdm"},
        ),
        # torch._dynamo takes a second to import, more than all the rest.
        (
            "bionemo.data",
            {"torchdata", "lightning", "megatron", "accelerate", "transformers", "Bio", "matplotlib", "torch._dynamo"},
        ),
        ("bionemo.data.testing, bionemo.data.plot", {"torchdata", "lightning", "hypothesis", "matplotlib"}),
        ("bionemo.data.pipes", {"torchdata", "lightning", "megatron", "Bio", "matplotlib"}),
        pytest.param("bionemo.adapters.distributed", {"torchdata", "lightning", "megatron"}, marks=pytest.mark.slow),
        pytest.param("bionemo.adapters.lightning", {"torchdata", "megatron", "Bio"}, marks=pytest.mark.slow),
        ("bionemo.adapters.huggingface", {"accelerate", "transformers", "torchdata", "lightning", "megatron"}),
    ],
)
def test_importing_loads_no_more_than_its_floor(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert unwanted.isdisjoint(run.stdout.split())


def test_importing_moves_no_global_random_state_and_makes_no_file(tmp_path: Path) -> None:
    script = """
import random, numpy, torch
import lightning  # where rich is installed, it imports that, which draws from the random module
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
import bionemo.adapters.lightning, bionemo.data.pipes, bionemo.examples.protein_mlm.program
assert before == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
"""
    environment = {"HOME": str(tmp_path), "PATH": "", "MPLCONFIGDIR": str(tmp_path.parent)}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment)
    assert list(tmp_path.iterdir()) == []
