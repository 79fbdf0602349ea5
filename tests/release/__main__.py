"""The release checklist: `python -m tests.release`. Each step prints whether it passed, and in how many seconds.

The wheel and the sdist are built; the wheel is installed with the lowest and with the newest allowed dependencies, and
tested by the tests of the sdist; a user's script passes `mypy --strict` and pyright; CITATION.cff is valid.
"""

import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.release.environments import FOLDER, ROOT, TOOLS, make_environment, make_tools, run, versions

SCRIPT = Path(__file__).with_name("user_script.py")
DIST, UNPACKED = FOLDER / "dist", FOLDER / "sdist"
TESTS = (
    *("tests/core/random", "tests/core/padding", "tests/core/model", "tests/core/test_record.py"),
    *("tests/data/orders/test_mixture.py", "tests/data/orders/test_packed.py", "tests/data/plot"),
    *("tests/data/batches", "tests/data/sources", "tests/data/pipes/test_loader.py", "tests/data/pipes/test_nodes.py"),
    *("tests/adapters/test_lightning.py", "tests/adapters/test_distributed.py"),
    *("tests/adapters/test_huggingface_accelerate.py", "tests/adapters/test_huggingface_trainer.py"),
    *("tests/adapters/test_megatron_config.py", "tests/adapters/test_megatron_models.py"),
    *("tests/test_strange_arguments.py", "tests/test_release.py"),
    "tests/test_readme.py::test_the_script_of_the_readme_runs_alone_and_prints_what_the_readme_says",
)
"""What touches each dependency, in a few minutes."""
MODULES = (
    *("bionemo.core.api", "bionemo.core.resources", "bionemo.core.data.load", "bionemo.data.pipes.nodes"),
    *("bionemo.data.sources", "bionemo.data.testing.strategies", "bionemo.data.plot", "bionemo.examples.minimal"),
    *("bionemo.adapters.lightning", "bionemo.adapters.distributed", "bionemo.adapters.megatron"),
    *("bionemo.adapters.huggingface.trainer", "bionemo.examples.protein_mlm.program"),
)
# Warnings stay errors, but for those that other libraries give about their own code in other versions.
IGNORED = [
    word for kind in ("Deprecation", "PendingDeprecation", "Future") for word in ("-W", f"ignore::{kind}Warning")
]
SHOWN = ("torch", "numpy", "attrs", "cattrs", "lightning", "fsspec", "anndata", "zarr", "pyarrow", "transformers")


def build() -> str:
    for folder in (DIST, UNPACKED):
        shutil.rmtree(folder, ignore_errors=True)
    run(TOOLS / "bin" / "python", "-m", "build", "--outdir", DIST, ROOT)
    with tarfile.open(next(DIST.glob("*.tar.gz"))) as archive:
        archive.extractall(FOLDER, filter="data")
    next(FOLDER.glob("bionemo_core-*")).rename(UNPACKED)
    shutil.rmtree(UNPACKED / "bionemo")  # the tests are of the wheel
    return ", ".join(sorted(path.name for path in DIST.iterdir()))


def wheel() -> Path:
    return next(DIST.glob("*.whl"))


def check_environment(name: str, resolution: str) -> str:
    python = make_environment(name, resolution, wheel())
    run(python, "-c", f"import importlib\nfor name in {MODULES}: importlib.import_module(name)", cwd=FOLDER)
    run(python, SCRIPT, cwd=FOLDER)
    options = ("-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=300", *IGNORED)
    printed = run(python, "-m", "pytest", *options, *TESTS, cwd=UNPACKED, minutes=40)
    found = versions(name)
    return f"{printed.splitlines()[-1].strip('= ')}; " + ", ".join(f"{shown} {found[shown]}" for shown in SHOWN)


def check_types() -> str:
    python = FOLDER / "highest" / "bin" / "python"
    (FOLDER / "script").mkdir(exist_ok=True)
    script = Path(shutil.copy(SCRIPT, FOLDER / "script"))  # not beside `__main__.py`, which mypy would check as well
    options = ("--strict", "--config-file=", "--cache-dir", FOLDER / "mypy", "--python-executable", python)
    mypy = run(TOOLS / "bin" / "mypy", *options, script, cwd=FOLDER)
    pyright = run(TOOLS / "bin" / "pyright", "--pythonpath", python, script, cwd=FOLDER)
    return f"mypy: {mypy.strip()}; pyright: {pyright.strip().splitlines()[-1]}"


def check_citation() -> str:
    return run(TOOLS / "bin" / "cffconvert", "--validate", "--infile", ROOT / "CITATION.cff").strip()


STEPS: dict[str, Callable[[], str]] = {
    "tools": lambda: str(make_tools().relative_to(ROOT)),
    "build": build,
    "lowest dependencies": lambda: check_environment("lowest", "lowest-direct"),
    "newest dependencies": lambda: check_environment("highest", "highest"),
    "types for users": check_types,
    "citation": check_citation,
}


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, step in STEPS.items():
        started = time.monotonic()
        try:
            said, mark = step(), "passed"
        except (RuntimeError, OSError, StopIteration) as error:
            said, mark = str(error), "FAILED"
            failed.append(name)
        print(f"{mark}  {name}, {time.monotonic() - started:.0f} s: {said}", flush=True)
    print(f"{len(STEPS) - len(failed)} of {len(STEPS)} steps passed" + f"; failed: {', '.join(failed)}" * bool(failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
