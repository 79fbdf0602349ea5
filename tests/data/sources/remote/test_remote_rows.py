"""Shards on other machines: real HTTP and S3 servers, broken connections, wrong bytes, killed processes."""

import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import anndata
import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from bionemo.data import BlockShuffleOrder, EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from bionemo.data.sources import CellRows, RemoteRows, TableRows, TokenFile, write_manifest, write_tokens
from bionemo.data.sources.remote import shard_cache
from tests.data.sources.remote.server import Server, serve

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core

NUM_SHARDS, PER_SHARD = 6, 20


def rows_of(shard: int) -> list[list[int]]:
    return [[shard, number] * (number % 4 + 1) for number in range(PER_SHARD)]


ROWS = [row for shard in range(NUM_SHARDS) for row in rows_of(shard)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("shards")
    shards = []
    for shard in range(NUM_SHARDS):
        write_tokens(path / f"part{shard}", rows_of(shard), dtype="uint8")
        shards.append([path / f"part{shard}.bin", path / f"part{shard}.idx"])
    write_manifest(path, shards, opener=TokenFile)
    return path


@pytest.fixture
def server(folder: Path, monkeypatch):
    monkeypatch.setattr(shard_cache, "_WAIT", 0.001)
    with serve(folder) as running:
        yield running


def remote(server: Server, cache: Path, **fields) -> RemoteRows:
    return RemoteRows(f"{server.url}/manifest.json", opener=TokenFile, cache=cache, **fields)


def tolists(samples) -> list[list[int]]:
    return [sample.tolist() for sample in samples]


def test_samples_are_those_of_the_shards_in_turn(server: Server, tmp_path: Path) -> None:
    rows = remote(server, tmp_path)
    assert len(rows) == len(ROWS)
    assert tolists(rows.__getitems__([119, 0, 40, 39, 40])) == [ROWS[index] for index in [119, 0, 40, 39, 40]]
    assert tolists(rows) == ROWS
    assert rows.chunk_of(np.array([0, 19, 20, 119])).tolist() == [0, 0, 1, 5]
    assert set(server.requests.values()) == {1}  # each file once


def test_each_shard_is_fetched_once_per_epoch_with_a_small_cache(server: Server, tmp_path: Path) -> None:
    size = max(shard.num_bytes for shard in remote(server, tmp_path).shards)
    rows = remote(server, tmp_path / "cache", max_bytes=4 * size)
    server.sent.clear()
    order = BlockShuffleOrder(
        length=len(ROWS), block_size=PER_SHARD, blocks_per_window=2, seed=1, num_samples=len(ROWS)
    )
    pipeline = Pipeline(order=order, sources=rows, batch_size=8, seed=2)
    found = list(loader(pipeline, read_ahead=5))
    local = Pipeline(order=order, sources=ROWS, batch_size=8, seed=2)
    assert [tolists(batch) for batch in found] == [batch_at(local, step) for step in range(15)]
    sent = {name: number for name, number in server.sent.items() if name != "manifest.json"}
    assert sum(sent.values()) == sum(shard.num_bytes for shard in rows.shards)
    kept = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert sum(file.stat().st_size for path in kept for file in path.iterdir()) <= 4 * size


def test_what_is_needed_last_is_evicted_first(server: Server, tmp_path: Path) -> None:
    size = max(shard.num_bytes for shard in remote(server, tmp_path / "a").shards)
    rows = remote(server, tmp_path / "b", max_bytes=3 * size)
    for shard in (0, 1, 2):
        rows[shard * PER_SHARD]
    rows._ahead.following = [rows.shards[1], rows.shards[0]]
    rows[3 * PER_SHARD]  # evicts 2, which isn't needed
    rows[4 * PER_SHARD]  # evicts 3, which isn't, either
    here = [number for number, shard in enumerate(rows.shards) if rows._cache.path_of(shard).exists()]
    assert here == [0, 1, 4]


def test_the_next_stretch_is_fetched_while_this_one_is_used(server: Server, tmp_path: Path) -> None:
    rows = remote(server, tmp_path)
    order = EpochOrder(length=len(ROWS), seed=1, num_samples=len(ROWS), shuffle=False)
    batches = iter(loader(Pipeline(order=order, sources=rows, batch_size=PER_SHARD, seed=2)))
    next(batches)
    deadline = time.monotonic() + 20
    while not rows._cache.path_of(rows.shards[1]).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.requests["part1.bin"] == 1
    assert server.requests["part3.bin"] == 0


@pytest.mark.parametrize("faults", [["cut"], ["wrong"], ["slow"], ["busy"], ["cut", "wrong", "busy"]])
def test_what_goes_wrong_on_the_way_is_tried_again(server: Server, tmp_path: Path, faults: list[str]) -> None:
    server.faults = {"part2.bin": [*faults], "part2.idx": [*faults]}
    assert tolists(remote(server, tmp_path).__getitems__(range(40, 60))) == rows_of(2)
    assert server.faults == {"part2.bin": [], "part2.idx": []}


def test_wrong_bytes_are_never_returned(server: Server, tmp_path: Path) -> None:
    rows = remote(server, tmp_path)
    server.faults = {"part2.bin": ["wrong"] * 9}
    for _ in range(2):
        with pytest.raises(ValueError, match=r"part2.bin must have .* bytes with sha256 .* as its manifest says"):
            rows[45]
    assert tolists([rows[0], rows[60]]) == [ROWS[0], ROWS[60]]
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_shard_that_was_replaced_is_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard_cache, "_WAIT", 0.001)
    shutil.copytree(folder, tmp_path / "copy")
    with serve(tmp_path / "copy") as server:
        rows = remote(server, tmp_path / "cache")
        write_tokens(tmp_path / "copy" / "part0", [[9]] * PER_SHARD, dtype="uint8")
        with pytest.raises(ValueError, match="damaged on its way, or replaced"):
            rows[0]


def test_offline_what_is_in_the_cache_is_read_and_the_rest_is_named(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard_cache, "_WAIT", 0.001)
    with serve(folder) as server:
        rows = remote(server, tmp_path)
        rows.__getitems__([0, 20])
    again = remote(server, tmp_path)
    assert tolists(again.__getitems__([1, 21])) == [ROWS[1], ROWS[21]]
    with pytest.raises(OSError, match=r"part5.bin can't be fetched, and isn't among the 2 shards in .*: "):
        again[119]
    with pytest.raises(OSError, match=r"manifest.json can't be fetched, and no copy of it is in "):
        remote(server, tmp_path / "other")


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "part3.idx").unlink()
    with serve(tmp_path / "copy") as server:
        rows = remote(server, tmp_path / "cache")
        with pytest.raises(OSError, match=r"part3.bin can't be fetched.*FileNotFoundError"):
            rows[60]
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"shards": [{"num_samples": 1}]}', "<html>"])
def test_another_file_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with (
        serve(tmp_path) as server,
        pytest.raises(ValueError, match="manifest.json must be a manifest as write_manifest"),
    ):
        remote(server, tmp_path / "cache")


def test_a_manifest_may_not_name_files_elsewhere(folder: Path, tmp_path: Path) -> None:
    plain = json.loads((folder / "manifest.json").read_text())
    plain["shards"][0]["files"][0]["name"] = "../secret"
    (tmp_path / "manifest.json").write_text(json.dumps(plain))
    with serve(tmp_path) as server, pytest.raises(ValueError, match="manifest.json must be a manifest"):
        remote(server, tmp_path / "cache")


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes_share_the_cache(server: Server, tmp_path: Path, context: str) -> None:
    rows = remote(server, tmp_path)
    rows[0]
    order = BlockShuffleOrder(
        length=len(ROWS), block_size=PER_SHARD, blocks_per_window=2, seed=1, num_samples=len(ROWS)
    )
    pipeline = Pipeline(order=order, sources=pickle.loads(pickle.dumps(rows)), batch_size=8, seed=2)
    batches = loader(pipeline, num_workers=2, multiprocessing_context=context, read_ahead=5)
    local = Pipeline(order=order, sources=ROWS, batch_size=8, seed=2)
    assert [tolists(batch) for batch in batches] == [batch_at(local, step) for step in range(15)]
    batches.close()
    assert all(number == 1 for name, number in server.requests.items() if name != "manifest.json")


def read_at_random(url: str, cache: str, max_bytes: int, seed: int) -> None:
    rows = RemoteRows(url, opener=TokenFile, cache=cache, max_bytes=max_bytes)
    rng = random.Random(seed)
    for _ in range(60):
        index = rng.randrange(len(ROWS))
        assert rows[index].tolist() == ROWS[index]


@pytest.mark.slow
def test_processes_that_evict_each_others_shards_read_right_samples(server: Server, tmp_path: Path) -> None:
    size = max(shard.num_bytes for shard in remote(server, tmp_path).shards)
    context = multiprocessing.get_context("spawn")
    arguments = (f"{server.url}/manifest.json", str(tmp_path / "cache"), 2 * size)
    processes = [context.Process(target=read_at_random, args=(*arguments, seed)) for seed in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]


KILLED = """
import random, sys
from bionemo.data.sources import RemoteRows, TokenFile
rows = RemoteRows(sys.argv[1], opener=TokenFile, cache=sys.argv[2], max_bytes=int(sys.argv[3]))
print("ready", flush=True)
while True:
    rows[random.randrange(len(rows))]
"""


def kill_at_random(server: Server, cache: Path, times: int) -> None:
    """Kill processes that fetch and evict, and check after each that what is in the cache is whole and right."""
    rows = remote(server, cache)
    rng = random.Random(1)
    for _ in range(times):
        size = max(shard.num_bytes for shard in rows.shards)
        command = [sys.executable, "-c", textwrap.dedent(KILLED), rows.manifest, str(cache), str(2 * size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(rng.random() * 0.3)
            process.send_signal(signal.SIGKILL)
        for number, shard in enumerate(rows.shards):
            path = rows._cache.path_of(shard)
            if path.exists():
                assert tolists(TokenFile(path)) == rows_of(number)
        assert tolists(remote(server, cache)) == ROWS


def test_nothing_half_written_is_seen_after_a_kill(server: Server, tmp_path: Path) -> None:
    kill_at_random(server, tmp_path, 2)


@pytest.mark.slow
def test_nothing_half_written_is_seen_after_a_hundred_kills(server: Server, tmp_path: Path) -> None:
    kill_at_random(server, tmp_path, 100)


def test_tables_and_cells_are_read_from_s3(tmp_path: Path, monkeypatch) -> None:
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "up").mkdir()
    table = pa.table({"label": list(range(50))})
    pq.write_table(table, tmp_path / "up" / "table.parquet")
    counts = scipy.sparse.csr_matrix(np.eye(5, dtype=np.float32))
    anndata.AnnData(counts).write_h5ad(tmp_path / "up" / "cells.h5ad")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="bucket")
        for opener, name in ((TableRows, "table.parquet"), (partial(CellRows, dense=True), "cells.h5ad")):
            path = write_manifest(tmp_path / "up", [tmp_path / "up" / name], opener=opener)
            for file in (path, tmp_path / "up" / name):
                client.upload_file(str(file), "bucket", f"data/{name}/{file.name}")
            options = {"client_kwargs": {"endpoint_url": endpoint}, "skip_instance_cache": True}
            where = f"s3://bucket/data/{name}/manifest.json"
            rows = RemoteRows(where, opener=opener, cache=tmp_path / "cache", options=options)
            if opener is TableRows:
                assert [row["label"] for row in rows] == list(range(50))
            else:
                assert np.array_equal([row["counts"] for row in rows], np.eye(5))
    finally:
        server.stop()


def test_other_file_systems_work_too(folder: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe_file(f"/here/{path.name}", path.read_bytes())
    rows = RemoteRows("memory://here/manifest.json", opener=TokenFile, cache=tmp_path)
    assert tolists(rows) == ROWS
    with serve(folder) as server:
        assert remote(server, tmp_path / "other").fingerprint == rows.fingerprint


def test_wrong_arguments(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        remote(server, tmp_path, max_bytes=0)
    with pytest.raises(ValueError, match="shards must be in the folder"):
        write_manifest(tmp_path, [os.devnull], opener=TokenFile)
    with pytest.raises(ValueError, match="shards must hold at least one"):
        write_manifest(tmp_path, [], opener=TokenFile)
    wrong = RemoteRows(f"{server.url}/manifest.json", opener=lambda path: [1, 2], cache=tmp_path)
    with pytest.raises(ValueError, match="opener must open 20 samples, as the manifest says, got 2"):
        wrong[0]
