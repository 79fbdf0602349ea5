"""S3, by a real server of moto on loopback."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bionemo.core.data import load as old
from bionemo.core.data.resource import Resource as OldResource
from bionemo.core.resources import Resource, fetching, load
from bionemo.core.resources.store import download_path, partial_path
from bionemo.core.resources.transfers import object_store

CONTENT = random.Random(3).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    patch = pytest.MonkeyPatch()
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "DEFAULT_REGION": "us-east-1"}.items():
        patch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="folder/few.bin", Body=CONTENT, ACL="public-read")
    yield url
    patch.undo()
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr(fetching, "_WAIT", 0.001)
    monkeypatch.setattr(fetching, "_TRIES", 2)
    monkeypatch.setattr(object_store, "_BLOCK", 100_000)
    return endpoint


def resources_of(*urls: str, **fields) -> dict[str, Resource]:
    return {"a/b": Resource(tag="a/b", urls=list(urls), **{"sha256": DIGEST, "size": len(CONTENT), **fields})}


def test_an_object_is_downloaded_in_ranges(s3: str, tmp_path: Path) -> None:
    path = load("a/b", resources=resources_of("s3://bucket/folder/few.bin"), cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("few.bin", CONTENT)


@pytest.mark.parametrize("version", ["right", pytest.param("other", marks=pytest.mark.slow)])
def test_a_part_is_resumed_if_the_object_is_the_same(version: str, s3: str, tmp_path: Path, monkeypatch) -> None:
    resources = resources_of("s3://bucket/folder/few.bin")
    partial = partial_path(download_path(tmp_path / "resources", resources["a/b"]))
    cut = object_store.Partial.write

    def write(self, block: bytes) -> None:
        cut(self, block)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(object_store.Partial, "write", write)
        with pytest.raises(KeyboardInterrupt):
            load("a/b", resources=resources, cache_dir=tmp_path)
    assert partial.stat().st_size == 100_000
    record = partial.with_name(f"{partial.name}.from")
    if version == "other":
        record.write_text(record.read_text().replace('version": "', 'version": "x'))
        partial.write_bytes(bytes(100_000))
    sizes: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(object_store.Partial, "write", lambda self, block: (sizes.append(self.size), cut(self, block))[1])
        assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert sizes == ([100_000, 200_000] if version == "right" else [0, 100_000, 200_000])


def test_what_is_absent_or_wrong_is_an_error(s3: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="s3://bucket/none: FileNotFoundError"):
        load("a/b", resources=resources_of("s3://bucket/none"), cache_dir=tmp_path)
    with pytest.raises(OSError, match="s3://nobucket/none: FileNotFoundError"):
        load("a/b", resources=resources_of("s3://nobucket/none"), cache_dir=tmp_path)
    with pytest.raises(ValueError, match="few.bin: 300,000 bytes, and must have 3"):
        load("a/b", resources=resources_of("s3://bucket/folder/few.bin", size=3), cache_dir=tmp_path)
    with pytest.raises(ValueError, match="few.bin: 300,000 bytes with sha256"):
        load("a/b", resources=resources_of("s3://bucket/folder/few.bin", sha256="0" * 64), cache_dir=tmp_path)


@pytest.mark.slow  # s3fs waits between tries of its own
def test_a_dead_endpoint_is_an_error(s3: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OSError, match="few.bin: OSError: .*Could not connect"):
        load("a/b", resources=resources_of("s3://bucket/folder/few.bin"), cache_dir=tmp_path)


def test_a_public_object_needs_no_credentials(s3: str, tmp_path: Path, monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") and "KEY" in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    path = load("a/b", resources=resources_of("s3://bucket/folder/few.bin"), cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT


def test_resources_of_2x_are_loaded_from_their_own_storage(s3: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # not that of pbss
    monkeypatch.setattr(object_store, "PBSS_ENDPOINT", s3)
    entry = OldResource(tag="a/b", pbss="s3://bucket/folder/few.bin", sha256=DIGEST, owner="A B <a@b.org>")
    path = old.load("a/b", "pbss", {"a/b": entry}, tmp_path)
    assert path.read_bytes() == CONTENT
    assert old.load("a/b", source="pbss", resources={"a/b": entry}, cache_dir=tmp_path) == path


def test_the_client_of_2x_is_one_of_boto3(s3: str) -> None:
    client = old.default_pbss_client()
    assert client.meta.endpoint_url == "https://pbss.s8k.io"
    assert (client.meta.config.signature_version, client.meta.region_name) == ("s3v4", "us-east-1")
