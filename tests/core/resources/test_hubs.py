"""The Hugging Face Hub, by a server on loopback that answers as it does; NGC, by a client that does as ngcsdk does."""

import hashlib
import random
import sys
import types
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest

from bionemo.core.data import load as old
from bionemo.core.data.resource import Resource as OldResource
from bionemo.core.resources import Resource, fetching, load
from bionemo.core.resources.transfers import hubs

CONTENT = random.Random(3).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Client:
    """What `download_version` of ngcsdk 4.37 does: it makes a folder per version, with the files that match."""

    def __init__(self) -> None:
        self.calls: list = []
        self.registry = types.SimpleNamespace(
            model=types.SimpleNamespace(download_version=self._download),
            resource=types.SimpleNamespace(download_version=self._download),
        )

    def _download(self, target: str, destination: str = ".", file_patterns: list[str] | None = None) -> None:
        self.calls.append((target, file_patterns))
        if "missing" in target:
            raise ResourceNotFoundException(f"{target} could not be found")
        folder = Path(destination) / f"{target.rpartition('/')[2].replace(':', '_v')}"
        folder.mkdir()
        (folder / "other.txt").write_text("other")
        (folder / "few.bin").write_bytes(CONTENT)


class ResourceNotFoundException(Exception):  # noqa: N818 - its name in ngcsdk
    pass


@pytest.fixture
def client(monkeypatch) -> Client:
    made = Client()
    monkeypatch.setitem(sys.modules, "ngcsdk", types.ModuleType("ngcsdk"))
    monkeypatch.setattr(hubs, "default_ngc_client", lambda: made)
    return made


def test_a_file_of_ngc_is_downloaded(client: Client, tmp_path: Path) -> None:
    resource = Resource(tag="a/b", urls=["ngc://model/nvidia/clara/few:1.0/few.bin"], sha256=DIGEST)
    path = load("a/b", resources={"a/b": resource}, cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("few.bin", CONTENT)
    assert client.calls == [("nvidia/clara/few:1.0", ["few.bin"])]
    assert [one.name for one in path.parent.iterdir() if one.is_dir()] == []


def test_what_ngc_does_not_have_is_an_error(client: Client, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "_WAIT", 0.001)
    for name, error in {
        "missing:1/few.bin": "ResourceNotFoundException: org/missing:1 could",
        "few:1/none": "no file none",
    }.items():
        resource = Resource(tag="a/b", urls=[f"ngc://resource/org/{name}"], sha256=DIGEST)
        with pytest.raises(OSError, match=error):
            load("a/b", resources={"a/b": resource}, cache_dir=tmp_path)
    assert [target for target, _ in client.calls] == ["org/missing:1", "org/few:1"]


def test_resources_of_2x_are_loaded_from_ngc_by_default(client: Client, tmp_path: Path) -> None:
    fields = {"tag": "a/b", "pbss": "s3://bucket/folder/few.bin", "sha256": DIGEST, "owner": "A B <a@b.org>"}
    entry = OldResource(**fields, ngc="org/few:1", ngc_registry="resource")
    path = old.load("a/b", resources={"a/b": entry}, cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    old.NGCDownloader(filename="few.bin", ngc_registry="model")("org/few:2", tmp_path / "out", None)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert [target for target, _ in client.calls] == ["org/few:1", "org/few:2"]


@pytest.mark.parametrize("key_is_valid", [True, False])
def test_an_invalid_key_makes_a_guest_if_that_is_wished(key_is_valid: bool, monkeypatch) -> None:
    configured: list[dict] = []

    class Sdk:
        def configure(self, **options) -> None:
            configured.append(options)
            if not options and not key_is_valid:
                raise ValueError("invalid key")

    module = types.ModuleType("ngcsdk")
    module.Client = Sdk
    monkeypatch.setitem(sys.modules, "ngcsdk", module)
    assert isinstance(old.default_ngc_client(), Sdk)
    guest = {"api_key": "no-apikey", "org_name": "no-org", "team_name": "no-team"}
    assert configured == ([{}] if key_is_valid else [{}, guest])
    if not key_is_valid:
        with pytest.raises(ValueError, match="invalid key"):
            old.default_ngc_client(use_guest_if_api_key_invalid=False)


@pytest.fixture
def hub(server, monkeypatch):
    """Return a server with a repository of a model and one of a data set, as huggingface_hub asks for their files."""
    for path in ("org/repository/resolve/v1/folder/few.bin", "datasets/org/data/resolve/main/few.bin"):
        server.files[path] = CONTENT
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(hub_constants, "ENDPOINT", server.url)
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    return server


@pytest.mark.parametrize("url", ["hf://org/repository/folder/few.bin@v1", "hf://datasets/org/data/few.bin"])
def test_a_file_of_the_hub_is_downloaded(url: str, hub, tmp_path: Path) -> None:
    resource = Resource(tag="a/b", urls=[url], sha256=DIGEST, size=len(CONTENT))
    path = load("a/b", resources={"a/b": resource}, cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("few.bin", CONTENT)
    assert [one.name for one in path.parent.iterdir() if one.is_dir()] == []


def test_what_the_hub_does_not_have_is_an_error(hub, tmp_path: Path) -> None:
    resource = Resource(tag="a/b", urls=["hf://org/repository/none@v1"], sha256=DIGEST)
    with pytest.raises(OSError, match="hf://org/repository/none@v1: .*404"):
        load("a/b", resources={"a/b": resource}, cache_dir=tmp_path)
