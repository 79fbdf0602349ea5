"""Pruning: what goes, and what stays whatever happens at the same time."""

import os
import time
from pathlib import Path

import pytest

from bionemo.core.resources import cached_path, load, prune, pruning
from bionemo.core.resources.store import content_folder, locked, touch_used, used_path
from tests.core.resources.test_loading import CONTENT, archive_of

DAY = 86400


def age(folder: Path, days: float) -> None:
    moment = time.time() - days * DAY
    os.utime(used_path(folder), (moment, moment))


@pytest.fixture
def cache(publish, tmp_path: Path):
    """Return a cache with an old content, of 40 days, and a new one."""
    for name, days in (("old.tar.gz", 40), ("new.bin", 1)):
        content = archive_of({"one": b"1"}) if "tar" in name else CONTENT
        resources = publish(name, content, processing="unpack" if "tar" in name else "none")
        load("a/b", resources=resources, cache_dir=tmp_path)
        age(content_folder(tmp_path / "resources", resources["a/b"].sha256), days)
    return tmp_path


def contents(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "resources").iterdir() if path.name != "locks")


def test_what_was_not_used_for_long_is_removed(cache: Path) -> None:
    before = contents(cache)
    would = prune(older_than=30 * DAY, cache_dir=cache, dry_run=True)
    assert contents(cache) == before
    (removed,) = prune(older_than=30 * DAY, cache_dir=cache)
    assert [removed.path] == [one.path for one in would]
    assert removed.num_bytes == would[0].num_bytes > 100
    assert removed.days == pytest.approx(40, abs=0.1)
    assert contents(cache) == [path for path in before if path != removed.path]
    assert prune(older_than=30 * DAY, cache_dir=cache) == ()


def test_a_use_counts_from_the_last_load(publish, cache: Path) -> None:
    resources = publish("old.tar.gz", archive_of({"one": b"1"}), processing="unpack")
    load("a/b", resources=resources, cache_dir=cache)
    assert prune(older_than=30 * DAY, cache_dir=cache) == ()


def test_what_is_locked_stays(cache: Path) -> None:
    (old,) = (one.path for one in prune(older_than=30 * DAY, cache_dir=cache, dry_run=True))
    with locked(old):
        assert prune(older_than=30 * DAY, cache_dir=cache) == ()
        assert old.is_dir()


def test_partial_files_are_removed_whatever_their_age(server, publish, cache: Path) -> None:
    resources = publish("cut.bin", CONTENT[::-1])
    server.faults["cut.bin"] = ["cut", 404]
    with pytest.raises(OSError, match="404"):
        load("a/b", resources=resources, cache_dir=cache)
    folder = content_folder(cache / "resources", resources["a/b"].sha256)
    left = folder / "unpacked" / ".cut.bin.0123456789abcdef.partial"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    dead = cache / "resources" / f".{'0' * 64}.0123.partial"  # of a killed `prune`
    dead.mkdir()
    removed = prune(older_than=30 * DAY, cache_dir=cache)
    names = {one.path.name for one in removed}
    assert {dead.name, left.name, ".cut.bin.partial", ".cut.bin.partial.from"} <= names
    assert not dead.exists()
    assert not list((cache / "resources").glob("*/*/.*.partial*"))


def test_a_load_at_the_last_moment_keeps_a_content(publish, cache: Path, monkeypatch) -> None:
    resources = publish("old.tar.gz", archive_of({"one": b"1"}), processing="unpack")
    folder = content_folder(cache / "resources", resources["a/b"].sha256)
    rename = Path.rename

    def rename_after_a_use(path: Path, target: Path) -> Path:
        if path == folder:
            touch_used(folder)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(pruning.Path, "rename", rename_after_a_use)
        assert prune(older_than=30 * DAY, cache_dir=cache) == ()
    assert cached_path("a/b", resources=resources, cache_dir=cache) is not None


def test_a_pruned_content_is_loaded_again(server, publish, cache: Path) -> None:
    assert len(prune(older_than=0, cache_dir=cache)) == 2
    resources = publish("new.bin", CONTENT)
    assert load("a/b", resources=resources, cache_dir=cache).read_bytes() == CONTENT
    assert [name for name, *_ in server.requests].count("new.bin") == 2


def test_an_age_must_not_be_negative(tmp_path: Path) -> None:
    for age_ in (-1, float("nan")):
        with pytest.raises(ValueError, match="older_than must be a number of seconds of at least 0, got older_than="):
            prune(older_than=age_, cache_dir=tmp_path)
    assert prune(older_than=0, cache_dir=tmp_path / "missing") == ()
