"""Disks that are full, read-only, or other ones than the temporary folder's."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bionemo.core.resources import cached_path, load
from tests.core.resources.test_loading import CONTENT, archive_of, tree
from tests.core.resources.test_processes import fields_of
from tests.core.resources.worker import load_restricted

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 2 MiB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, *, left: int) -> Path:
    """Write a file to a disk that leaves so many bytes free."""
    path = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    path.write_bytes(bytes(free - left))
    return path


@pytest.mark.parametrize("left", [0, 100_000], ids=["nothing-left", "a-part-fits"])
def test_a_full_disk_is_an_error_and_what_was_received_is_kept(left: int, server, publish, disk: Path) -> None:
    resources = publish("few.bin", CONTENT)
    filler = fill(disk, left=left + 8192)
    with pytest.raises(OSError, match="No space left on device.*free some space, or choose another folder"):
        load("a/b", resources=resources, cache_dir=disk)
    assert len(server.requests) == 1  # no other try helps
    assert cached_path("a/b", resources=resources, cache_dir=disk) is None
    filler.unlink()
    assert load("a/b", resources=resources, cache_dir=disk).read_bytes() == CONTENT
    assert left == 0 or int(server.requests[1][1].removeprefix("bytes=").rstrip("-")) >= 65_536


def test_a_disk_that_is_full_while_unpacking_keeps_the_archive_only(server, publish, disk: Path) -> None:
    files = {f"{number}": bytes(2000) for number in range(100)}
    resources = publish("few.tar.gz", archive_of(files), processing="unpack")
    filler = fill(disk, left=150_000)
    with pytest.raises(OSError, match="No space left on device"):
        load("a/b", resources=resources, cache_dir=disk)
    assert not list(disk.rglob("unpacked/*"))
    filler.unlink()
    assert tree(load("a/b", resources=resources, cache_dir=disk)) == files
    assert len(server.requests) == 1


def test_a_read_only_disk_gives_what_it_holds_and_names_what_it_lacks(server, publish, disk: Path) -> None:
    files = {"one": b"1", "two": b"2"}
    resources = publish("few.tar.gz", archive_of(files), processing="unpack")
    path = load("a/b", resources=resources, cache_dir=disk)
    other = publish("other.bin", CONTENT)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert load("a/b", resources=resources, cache_dir=disk) == path
    assert load("a/b", resources=resources, cache_dir=disk, verify=True) == path
    with pytest.raises(OSError, match="a/b isn't in the cache, which can't be written to. Choose another by cache_dir"):
        load("a/b", resources=other, cache_dir=disk)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    os.utime(path / "one")  # as after a copy: only the digests tell that it is right
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert load("a/b", resources=resources, cache_dir=disk) == path
    assert len(server.requests) == 1


def answer(processes, resources, cache: Path, *, user: int, max_bytes: int = -1) -> str:
    results = processes.Queue()
    options = {"user": user, "max_bytes": max_bytes}
    arguments = (fields_of(resources["a/b"]), cache, results)
    process = processes.Process(target=load_restricted, args=arguments, kwargs=options)
    process.start()
    found = results.get(timeout=30)
    process.join()
    return found


def test_a_folder_of_another_user_gives_what_it_holds_and_names_what_it_lacks(publish, processes) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    cache = SHARED_MEMORY / f"bionemo-{os.getpid()}"
    try:
        path = load("a/b", resources=publish("few.bin", CONTENT), cache_dir=cache)
        assert answer(processes, publish("few.bin", CONTENT), cache, user=65534) == str(path)
        error = answer(processes, publish("other.bin", b"other"), cache, user=65534)
        assert re.search("PermissionError: .*a/b isn't in the cache, which can't be written to. Choose another", error)
    finally:
        shutil.rmtree(cache)


def test_a_cache_on_another_file_system_than_the_temporary_folder(publish, tmp_path: Path) -> None:
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    cache = SHARED_MEMORY / f"bionemo-{os.getpid()}"
    files = {"one": b"1", "two": b"2"}
    try:
        for name, content, kind in (("few.bin", CONTENT, "none"), ("few.tar", archive_of(files), "unpack")):
            path = load("a/b", resources=publish(name, content, processing=kind), cache_dir=cache)
            assert (tree(path) if path.is_dir() else path.read_bytes()) in (files, CONTENT)
    finally:
        shutil.rmtree(cache)


def test_a_limit_on_the_size_of_files_is_an_error(publish, processes, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT)
    error = answer(processes, resources, tmp_path, user=os.getuid(), max_bytes=100_000)
    assert "File too large: free some space, or choose another folder" in error
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT


def test_a_file_system_without_locks_is_an_error(publish, tmp_path: Path, monkeypatch) -> None:
    def flock(*_) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    resources = publish("few.bin", CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with pytest.raises(OSError, match="the file system has no locks. Choose another folder"):
            load("a/b", resources=resources, cache_dir=tmp_path)
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    monkeypatch.setattr(fcntl, "flock", flock)
    assert load("a/b", resources=resources, cache_dir=tmp_path) == path  # what is there needs no lock
