"""Several processes, and processes that are killed: nothing wrong is returned, nothing half-written is visible."""

import gzip
import hashlib
import random
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from bionemo.core.resources import Resource, cached_path, load
from bionemo.core.resources.store import content_folder, download_path, locked, partial_path, result_path
from tests.core.resources.test_loading import archive_of, tree
from tests.core.resources.worker import load_once

CONTENT = random.Random(3).randbytes(2**20)
FILES = {f"folder{number % 7}/{number}.bin": random.Random(number).randbytes(3000) for number in range(200)}


def fields_of(resource: Resource) -> dict:
    return {name: value for name, value in attrs.asdict(resource).items() if name != "tag"}


def test_eight_processes_download_once_and_get_eight_right_answers(server, publish, processes, tmp_path) -> None:
    archive = archive_of(FILES)
    resources = publish("few.tar.gz", archive, processing="unpack")
    server.faults["few.tar.gz"] = ["slow"]
    results = processes.Queue()
    arguments = (fields_of(resources["a/b"]), tmp_path, results)
    started = [processes.Process(target=load_once, args=arguments) for _ in range(8)]
    for process in started:
        process.start()
    paths = {results.get(timeout=60) for _ in started}
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 8
    (path,) = paths
    assert tree(Path(path)) == FILES
    assert len(server.requests) == 1


def test_threads_of_one_process_download_once(server, publish, tmp_path) -> None:
    resources = publish("few.bin", CONTENT)
    server.faults["few.bin"] = ["slow"]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: load("a/b", resources=resources, cache_dir=tmp_path), range(8)))
    assert [path.read_bytes() == CONTENT for path in paths] == [True] * 8
    assert len(server.requests) == 1


def test_a_waiting_process_takes_over_from_a_killed_one(server, publish, processes, tmp_path) -> None:
    resources = publish("few.bin", CONTENT)
    server.faults["few.bin"] = ["drip:20000"]
    results = processes.Queue()
    arguments = (fields_of(resources["a/b"]), tmp_path, results)
    first, second = (processes.Process(target=load_once, args=arguments) for _ in range(2))
    first.start()
    partial = partial_path(download_path(tmp_path / "resources", resources["a/b"]))
    while not partial.exists() or partial.stat().st_size < 100_000:
        time.sleep(0.005)
    second.start()
    time.sleep(0.1)
    first.kill()
    assert Path(results.get(timeout=60)).read_bytes() == CONTENT
    second.join()
    (_, _, _), (_, wanted, _) = server.requests
    assert int(wanted.removeprefix("bytes=").rstrip("-")) >= 65_536  # resumed, by another process


def test_who_waits_says_so(publish, processes, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("bionemo.core.resources.store._PATIENCE", 0.05)
    resources = publish("few.bin", CONTENT)
    folder = content_folder(tmp_path / "resources", resources["a/b"].sha256)
    with locked(folder):
        process = processes.Process(target=load_once, args=(fields_of(resources["a/b"]), tmp_path))
        process.start()
        process.join(0.5)
        assert process.is_alive()
        with pytest.raises(TimeoutError, match="held by another process"), locked(folder, timeout=0):
            pass
    process.join()
    assert process.exitcode == 0
    with locked(folder):
        thread = threading.Thread(target=lambda: load("a/b", resources=resources, cache_dir=tmp_path, verify=True))
        thread.start()
        thread.join(0.3)
    thread.join()
    assert "waiting for another process that downloads or unpacks" in caplog.text


def stage(resource: Resource, cache: Path) -> str:
    """Return how far a killed process was, by what it left."""
    root = cache / "resources"
    result, download = result_path(root, resource), download_path(root, resource)
    if cached_path("a/b", resources={"a/b": resource}, cache_dir=cache):
        return "5 done"
    if result != download and result.exists():
        return "4 result visible, not yet marked"
    if result != download and list(result.parent.glob(".*.partial")):
        return "3 during unpacking or decompressing"
    if download.exists():
        return "2 downloaded"
    return "1 during the download" if partial_path(download).exists() else "0 before"


def check_what_is_visible(resource: Resource, cache: Path, expected, content: bytes) -> None:
    root = cache / "resources"
    result, download = result_path(root, resource), download_path(root, resource)
    visible = list(content_folder(root, resource.sha256).glob("*/[!.]*"))
    assert set(visible) <= {result, download}
    if download.exists():
        assert download.read_bytes() == content
    if result.exists():
        assert (tree(result) if result.is_dir() else result.read_bytes()) == expected
    path = cached_path("a/b", resources={"a/b": resource}, cache_dir=cache)
    assert path in {None, result}


def kill_at_random(server, publish, processes, cache: Path, *, num_kills: int, seed: int) -> Counter[str]:
    """Kill processes that load, at random times, and return how many were killed at which stage."""
    rng = random.Random(seed)
    archive, compressed = archive_of(FILES), gzip.compress(CONTENT, 1)
    kinds = {"unpack": (archive, FILES), "decompress": (compressed, CONTENT), "none": (CONTENT, CONTENT)}
    stages = Counter[str]()
    last_time = 0.3
    while sum(stages.values()) < num_kills:
        processing = rng.choice(["unpack", "unpack", "decompress", "none"])
        content, expected = kinds[processing]
        resource = publish("few.gz", content, processing=processing)["a/b"]
        server.faults["few.gz"] = [f"drip:{len(content) // 12}"] * 3
        for _ in range(rng.randrange(1, 4)):  # killed again while it resumes
            process = processes.Process(target=load_once, args=(fields_of(resource), cache))
            process.start()
            time.sleep(rng.uniform(0, last_time))
            process.kill()
            process.join()
            check_what_is_visible(resource, cache, expected, content)
            stages[stage(resource, cache)] += process.exitcode == -9
        server.faults["few.gz"] = []
        start = time.perf_counter()
        path = load("a/b", resources={"a/b": resource}, cache_dir=cache)
        last_time = max(0.25, min(0.5, time.perf_counter() - start + 0.15))
        assert (tree(path) if path.is_dir() else path.read_bytes()) == expected
        assert not [*path.parent.glob(".*.partial*")]
        assert hashlib.sha256(download_path(cache / "resources", resource).read_bytes()).hexdigest() == resource.sha256
        shutil.rmtree(cache)
    return stages


def test_killed_processes_leave_nothing_wrong(server, publish, processes, tmp_path) -> None:
    stages = kill_at_random(server, publish, processes, tmp_path / "cache", num_kills=4, seed=1)
    assert sum(stages.values()) >= 4


@pytest.mark.slow
def test_two_hundred_killed_processes_leave_nothing_wrong(server, publish, processes, tmp_path) -> None:
    stages = kill_at_random(server, publish, processes, tmp_path / "cache", num_kills=200, seed=2)
    print(dict(sorted(stages.items())))  # noqa: T201 - shown by pytest -s
    assert sum(stages.values()) >= 200
    assert min(stages["1 during the download"], stages["3 during unpacking or decompressing"]) >= 10
