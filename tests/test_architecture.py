"""The house stands: floors, namespace, public names, no global random state, imports that do no work."""

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

UPPER_FLOORS = {
    "bionemo.core": ("bionemo.data", "bionemo.adapters", "bionemo.examples", "torchdata", "lightning", "megatron"),
    "bionemo.data": (
        "bionemo.data.pipes",
        "bionemo.adapters",
        "bionemo.examples",
        "torchdata",
        "lightning",
        "megatron",
    ),
    "bionemo.data.pipes": ("bionemo.adapters", "bionemo.examples", "lightning", "megatron"),
    "bionemo.adapters": ("bionemo.examples",),
    "bionemo.examples": (),
}

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


@pytest.mark.parametrize(("path", "module"), list(zip(SOURCES, MODULES, strict=True)), ids=MODULES)
def test_imports_go_down_the_floors(path: Path, module: str) -> None:
    floor = max((floor for floor in UPPER_FLOORS if f"{module}.".startswith(f"{floor}.")), key=len)
    names = imported(ast.parse(path.read_text()))
    above = [name for name in names for upper in UPPER_FLOORS[floor] if f"{name}.".startswith(f"{upper}.")]
    assert above == []


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
        "bionemo.data.testing.reads": {"np.random.get_state", "torch.get_rng_state"},  # whether others move them
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
        # torch._dynamo takes a second to import, more than all the rest.
        ("bionemo.data", {"torchdata", "lightning", "megatron", "Bio", "matplotlib", "torch._dynamo"}),
        ("bionemo.data.pipes", {"torchdata", "lightning", "megatron", "Bio", "matplotlib"}),
        ("bionemo.adapters.lightning", {"torchdata", "megatron", "Bio"}),
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
