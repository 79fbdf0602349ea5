"""BIONEMO_CACHE_DIR, as new processes read it."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

PRINT = (
    "from pathlib import Path; from bionemo.core import BIONEMO_CACHE_DIR as d; assert isinstance(d, Path); print(d)"
)


def cache_dir(**environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "BIONEMO_CACHE_DIR"}
    run = subprocess.run(
        [sys.executable, "-c", PRINT], env=clean | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_the_environment_variable_sets_the_folder(tmp_path: Path) -> None:
    assert cache_dir(BIONEMO_CACHE_DIR=str(tmp_path / "here")) == str(tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    assert cache_dir(BIONEMO_CACHE_DIR="~/cache", HOME=str(tmp_path)) == str(tmp_path / "cache")


def test_the_tilde_of_an_unknown_user_is_kept() -> None:
    assert cache_dir(BIONEMO_CACHE_DIR="~no-such-user-here/cache") == "~no-such-user-here/cache"


@pytest.mark.parametrize("environment", [{}, {"BIONEMO_CACHE_DIR": ""}])
def test_the_default_is_the_platforms_folder(environment: dict[str, str]) -> None:
    assert cache_dir(**environment) == str(platformdirs.user_cache_path("bionemo"))


def test_importing_creates_no_folder_and_needs_no_writable_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    assert cache_dir(HOME=str(home), XDG_CACHE_HOME="") == str(home / ".cache" / "bionemo")
    assert list(home.iterdir()) == []
    assert cache_dir(HOME="/dev/null/no-home", XDG_CACHE_HOME="") == "/dev/null/no-home/.cache/bionemo"


NO_HOME = """
import os, pwd
def find(*_): raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = find
import bionemo.core
from bionemo.core import BIONEMO_CACHE_DIR
import bionemo.core.model.config, bionemo.data
from pathlib import Path
print(isinstance(BIONEMO_CACHE_DIR, Path), BIONEMO_CACHE_DIR.exists())
for use in (
    lambda: BIONEMO_CACHE_DIR.mkdir(parents=True, exist_ok=True),
    lambda: (Path(str(BIONEMO_CACHE_DIR)) / "sub").mkdir(parents=True),
    lambda: (BIONEMO_CACHE_DIR / "file").write_text("x"),
    lambda: os.makedirs(BIONEMO_CACHE_DIR),
):
    try:
        use()
    except OSError as error:
        print(error)
"""


@pytest.mark.parametrize(
    "chosen",
    [{}, *(pytest.param({"BIONEMO_CACHE_DIR": path}, marks=pytest.mark.slow) for path in ("", "~/cache", "~"))],
)
def test_a_user_without_a_home_folder_can_import_and_is_told_on_use(tmp_path: Path, chosen: dict[str, str]) -> None:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "XDG_CACHE_HOME": ""}
    run = subprocess.run(
        [sys.executable, "-c", NO_HOME], env=clean | chosen, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    first, *errors = run.stdout.splitlines()
    assert first == "True False"
    assert len(errors) == 4
    assert all("no home folder, set HOME or BIONEMO_CACHE_DIR" in error for error in errors)
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_folder_can_choose_another_one(tmp_path: Path) -> None:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    for chosen, folder in (
        ({"BIONEMO_CACHE_DIR": str(tmp_path)}, tmp_path),
        ({"XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "bionemo"),
    ):
        script = NO_HOME.split("for use", maxsplit=1)[0] + "print(BIONEMO_CACHE_DIR)"
        run = subprocess.run(
            [sys.executable, "-c", script], env=clean | chosen, capture_output=True, text=True, check=True
        )
        assert run.stdout.splitlines()[-1] == str(folder)
