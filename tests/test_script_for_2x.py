"""A script that was written for bionemo-core 2.4.5 prints the same there and here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import install

ROOT = Path(__file__).parents[1]
DEPENDENCIES = (
    *("nest-asyncio", "ngcsdk==4.37.0", "email-validator", "dnspython", "validators", "docker", "isodate", "polling2"),
    *("prettytable", "requests-toolbelt", "shortuuid", "aiofiles", "wcwidth"),
)


def printed(folder: Path, *path: Path) -> dict:
    (folder / "home").mkdir(parents=True)
    environment = {
        **os.environ,
        "BIONEMO_CACHE_DIR": str(folder / "home"),
        "BIONEMO_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }
    command = [sys.executable, str(ROOT / "tests" / "script_for_2x.py"), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_script_for_2x_runs_without_a_change(tmp_path: Path) -> None:
    found = printed(tmp_path / "here", ROOT)
    assert found["attributes"] == [12, 3, 12, 7138484576005690179, 3]
    assert found["loaded"] == "MKTAYIAK"
    assert found["padded"] == [[12, 8], 48, "torch.bool", 1]


@pytest.mark.slow  # installs bionemo-core 2.4.5 with what it needs
def test_it_prints_the_same_with_2x(tmp_path: Path) -> None:
    of_2x = install("bionemo-core==2.4.5 with dependencies", "bionemo-core==2.4.5", *DEPENDENCIES)
    assert printed(tmp_path / "there", of_2x) == printed(tmp_path / "here", ROOT)
