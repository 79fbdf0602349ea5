"""A server, and resources of it."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator

import pytest

from bionemo.core.resources import Resource, fetching
from tests.core.resources.server import Server, serve


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch) -> Server:
    monkeypatch.setattr(fetching, "_WAIT", 0.001)
    monkeypatch.delenv("BIONEMO_OFFLINE", raising=False)
    running.faults.clear()
    running.requests.clear()
    running.with_etags = True
    return running


@pytest.fixture
def publish(server: Server) -> Callable[..., dict[str, Resource]]:
    """Return a function that serves a content and returns its resource, by tag."""

    def publish(name: str, content: bytes, *, urls=None, **fields) -> dict[str, Resource]:
        server.files[name] = content
        digest = hashlib.sha256(content).hexdigest()
        fields = {"sha256": digest, "size": len(content), **fields}
        return {"a/b": Resource(tag="a/b", urls=urls or [f"{server.url}/{name}"], **fields)}

    return publish


@pytest.fixture(scope="session")
def processes():
    """Return a context whose processes start fast, and have no threads of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.core.resources.worker"])
    return context
