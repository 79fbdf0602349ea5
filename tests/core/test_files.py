"""Atomic writes: kills, concurrent writers, links, permissions and full disks."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch

from bionemo.core.files import write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (b"", b"one", b"two"):
        write_atomically(Path("a.txt"), lambda file, content=content: file.write(content))
        assert Path("a.txt").read_bytes() == content
    assert names(tmp_path) == ["a.txt"]


def test_an_error_changes_no_file(tmp_path: Path) -> None:
    def fail(file) -> None:
        file.write(b"new")
        message = "failed on purpose"
        raise KeyError(message)

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyError, match="failed on purpose"):
        write_atomically(tmp_path / "a", fail)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError, match="none"):
        write_atomically(tmp_path / "none" / "a", lambda file: file.write(b"new"))


def test_concurrent_writers_do_not_mix_their_contents(tmp_path: Path) -> None:
    path, contents = tmp_path / "a", [bytes([letter]) * 100_000 for letter in b"abcdefgh"]

    def write_slowly(file, content: bytes) -> None:
        for start in range(0, len(content), 10_000):
            file.write(content[start : start + 10_000])
            file.flush()
            time.sleep(0.001)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            writes = [
                pool.submit(write_atomically, path, lambda f, c=content: write_slowly(f, c)) for content in contents
            ]
            while not all(write.done() for write in writes):
                assert not path.exists() or path.read_bytes() in contents
            assert [write.result() for write in writes] == [None] * 8
    assert names(tmp_path) == ["a"]


def test_a_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("there", "not yet"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(Path("disk") / name)
        if name == "there":
            (tmp_path / "disk" / name).write_bytes(b"old")
        write_atomically(link, lambda file: file.write(b"new"))
        assert link.is_symlink()
        assert (tmp_path / "disk" / name).read_bytes() == b"new"
    assert names(tmp_path / "disk") == ["not yet", "there"]


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_default_permissions(tmp_path: Path, umask: int, expected: int) -> None:
    path, before = tmp_path / "a", os.umask(umask)
    try:
        write_atomically(path, lambda file: file.write(b"new"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_full_disk_raises_one_error_with_the_file_and_the_free_space(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match=r"large after 5,000 bytes; the disk has [0-9,]+ bytes free.*'.*/a'") as info:
            write_atomically(path, lambda file: [file.write(b"x" * 1000) for _ in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert info.value.filename == str(path)
    assert info.value.__suppress_context__
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_named_if_torch_hides_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match=r"large after 5,000 bytes; the disk has [0-9,]+ bytes free.*'.*/a'"):
            write_atomically(tmp_path / "a", partial(torch.save, {"weights": torch.ones(9000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_an_error_while_a_full_disk_is_handled_is_raised_unchanged(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")

    try:
        full()
    except OSError:
        with pytest.raises(ZeroDivisionError):
            write_atomically(tmp_path / "a", lambda _: 1 / 0)
    assert names(tmp_path) == []


def test_other_os_errors_are_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"):
        write_atomically(tmp_path / "a", lambda _: (tmp_path / "other").read_bytes())
    assert names(tmp_path) == []


WRITER = """
import sys, time
from pathlib import Path
from bionemo.core.files import write_atomically

def write(file):
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    time.sleep(60)

write_atomically(Path(sys.argv[1]), write)
"""


def test_a_killed_process_leaves_the_old_file_and_a_partial_one_for_a_day(tmp_path: Path) -> None:
    path = tmp_path / "a[1].ckpt"
    path.write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"
    (partial,) = tmp_path.glob(".*")
    assert partial.name.startswith(".a[1].ckpt.")
    assert partial.suffix == ".partial"

    other = tmp_path / ".b.ckpt.0a1b2c3d.partial"
    other.write_bytes(b"of another file")
    os.utime(other, (0, 0))
    write_atomically(path, lambda file: file.write(b"new"))
    assert partial.exists(), "its writer may still be running"
    day_ago = time.time() - 24 * 60 * 60 - 1
    os.utime(partial, (day_ago, day_ago))
    write_atomically(path, lambda file: file.write(b"newer"))
    assert names(tmp_path) == sorted([other.name, path.name])
    assert path.read_bytes() == b"newer"
