"""Loading from a real HTTP server, with all that goes wrong on the way."""

import bz2
import gzip
import hashlib
import lzma
import os
import random
import socket
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from bionemo.core.resources import Resource, UnpackLimits, cached_path, fetching, load, verify_cached
from bionemo.core.resources.transfers import http

CONTENT = random.Random(3).randbytes(2**20)


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)  # the same bytes at any time


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ranges(server) -> list[str | None]:
    return [wanted for _, wanted, _ in server.requests]


def test_a_file_is_downloaded_once_and_keeps_its_name(server, publish, tmp_path: Path) -> None:
    resources = publish("a b.bin".replace(" ", "%20"), CONTENT)
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    assert path.name == "a_b.bin"
    assert path.read_bytes() == CONTENT
    assert load("a/b", resources=resources, cache_dir=str(tmp_path)) == path
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) == path
    assert len(server.requests) == 1
    assert path.is_relative_to(tmp_path / "resources" / resources["a/b"].sha256)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_compressed_file_is_decompressed(compress, publish, tmp_path: Path) -> None:
    extension = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[compress]
    resources = publish(f"few.fasta.{extension}", compress(CONTENT[:5000]), processing="decompress")
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("few.fasta", CONTENT[:5000])


def test_an_archive_is_unpacked_into_a_folder_and_is_downloaded_once(server, publish, tmp_path: Path) -> None:
    files = {"data/one.txt": b"1", "data/deep/two.txt": b"22", "three": CONTENT}
    resources = publish("few.tar.gz", archive_of(files), processing="unpack")
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    assert tree(path) == files
    assert load("a/b", resources=resources, cache_dir=tmp_path) == path
    assert len(server.requests) == 1


def test_two_resources_of_one_content_are_downloaded_once(server, publish, tmp_path: Path) -> None:
    resources = publish("one.txt", CONTENT)
    load("a/b", resources=resources, cache_dir=tmp_path)
    path = load("a/b", resources=publish("two.txt", CONTENT), cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("two.txt", CONTENT)
    assert [name for name, *_ in server.requests] == ["one.txt"]


def test_the_embedded_proteins_need_no_network(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BIONEMO_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", None)
    path = load("proteins/swissprot_2k", cache_dir=tmp_path)
    assert gzip.decompress(path.read_bytes()).count(b">sp|") == 2170


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([500, 503, ""], [None, None, None]),
        ([429, 408, ""], [None, None, None]),
        (["cut", ""], [None, "bytes=524288-"]),
        (["cut", "cut", "cut", ""], [None, "bytes=524288-", "bytes=786432-", "bytes=917504-"]),
        (["cut", "noranges"], [None, "bytes=524288-"]),
        (["cut", "badrange", ""], [None, "bytes=524288-", None]),
        (["cut", "wrong", ""], [None, "bytes=524288-", None]),  # wrong bytes after a resume: from the start
        (["cut", 416, ""], [None, "bytes=524288-", None]),
        (["slow"], [None]),
        (["drip:80000"], [None]),
    ],
    ids=["5xx", "busy", "cut", "cut-often", "no-ranges", "bad-range", "wrong-part", "416", "slow", "drip"],
)
@pytest.mark.parametrize("with_etags", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["etag", "no-etag"])
def test_what_passes_is_tried_again_and_resumed(faults, expected, with_etags, server, publish, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT)
    server.with_etags = with_etags
    server.faults["few.bin"] = list(faults)
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert ranges(server) == expected


@pytest.mark.parametrize("size", [None, len(CONTENT)], ids=["unknown-size", "size"])
@pytest.mark.parametrize(
    ("faults", "kind", "text"),
    [
        ([404], OSError, "HTTP status 404"),
        ([403], OSError, "HTTP status 403"),
        ([500] * 9, OSError, "HTTP status 500"),
        (["wrong"] * 9, ValueError, "1,048,576 bytes with sha256 .* must have"),
        (["short"] * 9, ValueError, "524,288 bytes"),
        (["change"], ValueError, "1,048,576 bytes with sha256"),
    ],
    ids=["404", "403", "500", "wrong", "short", "other"],
)
def test_what_stays_wrong_is_an_error_and_leaves_nothing(
    faults, kind, text, size, server, publish, tmp_path: Path
) -> None:
    resources = publish("few.bin", CONTENT, size=size)
    server.faults["few.bin"] = list(faults)
    with pytest.raises(kind, match=rf"a/b can't be downloaded:\n  {server.url}/few.bin: .*{text}"):
        load("a/b", resources=resources, cache_dir=tmp_path)
    assert len(server.requests) == (5 if faults[0] == 500 else 1)
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    assert list(tmp_path.rglob("few.bin*")) == []


def test_a_file_that_changes_between_two_tries_is_never_mixed(server, publish, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT)
    server.files["few.bin"] = bytes(reversed(CONTENT))  # the old version; "change" brings the right one
    server.faults["few.bin"] = ["cut", "change"]
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2  # by If-Range, the server sent all of the new version


def test_a_redirect_is_followed_and_resumed(server, publish, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT, urls=[f"{server.url}/moved.bin"])
    server.redirects["moved.bin"] = f"{server.url}/few.bin"
    server.faults["few.bin"] = ["cut"]
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    assert (path.name, path.read_bytes()) == ("moved.bin", CONTENT)
    server.redirects["round.bin"] = f"{server.url}/round.bin"
    server.redirects["local.bin"] = path.as_uri()
    for name in ("round.bin", "local.bin"):
        circle = publish(name, b"other", urls=[f"{server.url}/{name}"])
        with pytest.raises(OSError, match="redirects|No connection adapters"):
            load("a/b", resources=circle, cache_dir=tmp_path)


def test_mirrors_are_tried_in_order_and_all_errors_are_told(server, publish, tmp_path: Path) -> None:
    names = ["gone.bin", "wrong.bin", "cut.bin", "few.bin"]
    urls = [f"{server.url}/{name}" for name in names]
    resources = publish("few.bin", CONTENT, urls=urls)
    server.files["wrong.bin"] = bytes(reversed(CONTENT))
    server.files["cut.bin"] = CONTENT
    server.faults["cut.bin"] = ["cut", 404]
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert [(name, wanted) for name, wanted, _ in server.requests] == [
        ("gone.bin", None),
        ("wrong.bin", None),
        ("cut.bin", None),
        ("cut.bin", "bytes=524288-"),
        ("few.bin", "bytes=524288-"),  # the first half came from the other mirror
    ]
    other = {"a/b": Resource(tag="a/b", urls=urls[:2], sha256=hashlib.sha256(b"other").hexdigest())}
    with pytest.raises(
        OSError, match=r"gone.bin: HTTP status 404 Not Found\n .*wrong.bin: 1,048,576 bytes with sha256"
    ):
        load("a/b", resources=other, cache_dir=tmp_path)


def test_a_download_that_was_interrupted_is_resumed_later(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT)
    server.faults["few.bin"] = ["cut", 404]
    with pytest.raises(OSError, match="404"):
        load("a/b", resources=resources, cache_dir=tmp_path)
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=524288-"


def test_ctrl_c_leaves_a_part_that_is_resumed_and_nothing_visible(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT)
    prepare = http._prepare

    def interrupt(url, response, partial) -> None:
        prepare(url, response, partial)
        partial.write(CONTENT[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(http, "_prepare", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load("a/b", resources=resources, cache_dir=tmp_path)
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-"]


def test_a_complete_part_is_not_downloaded_again(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT, size=None)
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "sha256_of", lambda _: 1 / 0)  # stopped before the digest
        with pytest.raises(ZeroDivisionError):
            load("a/b", resources=resources, cache_dir=tmp_path)
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1048576-"]


def test_a_stalled_connection_times_out_and_is_resumed(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT)
    monkeypatch.setattr(http, "_TIMEOUT", (1, 0.2))
    listener = socket.create_server(("127.0.0.1", 0))  # accepts, and says nothing
    dead = f"http://127.0.0.1:{listener.getsockname()[1]}/few.bin"
    resources = publish("few.bin", CONTENT, urls=[dead, f"{server.url}/few.bin"])
    monkeypatch.setattr(fetching, "_TRIES", 2)
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    listener.close()


def corrupt(path: Path, *, keep_times: bool = False) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("keep_times", [False, True])
@pytest.mark.parametrize("processing", ["none", "decompress", "unpack"])
def test_a_file_that_was_changed_is_found_and_healed(
    processing, keep_times, server, publish, tmp_path: Path, monkeypatch
) -> None:
    files = {"data/one.txt": b"1", "two": CONTENT}
    content = {"none": CONTENT, "decompress": gzip.compress(CONTENT), "unpack": archive_of(files)}[processing]
    resources = publish("few.gz", content, processing=processing)
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    damaged = path / "two" if processing == "unpack" else path
    corrupt(damaged, keep_times=keep_times)
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    if processing == "none":
        monkeypatch.setenv("BIONEMO_OFFLINE", "1")
        with pytest.raises(OSError, match="a/b was changed after it had been verified .*BIONEMO_OFFLINE forbids"):
            load("a/b", resources=resources, cache_dir=tmp_path)
        monkeypatch.delenv("BIONEMO_OFFLINE")
    assert load("a/b", resources=resources, cache_dir=tmp_path) == path
    assert damaged.read_bytes() == CONTENT
    assert len(server.requests) == (2 if processing == "none" else 1)  # the archive itself was right


def test_a_deleted_file_of_an_archive_is_found_and_an_added_one_is_nobodys_concern(publish, tmp_path: Path) -> None:
    files = {"data/one.txt": b"1", "two": CONTENT}
    resources = publish("few.tar.gz", archive_of(files), processing="unpack")
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    (path / "one.idx").write_text("an index, made beside the data")
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) == path
    (path / "data" / "one.txt").unlink()
    assert load("a/b", resources=resources, cache_dir=tmp_path) == path
    assert tree(path) == files


def test_rot_that_no_stat_shows_is_found_by_verify(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT)
    options = {"resources": resources, "cache_dir": tmp_path}
    path = load("a/b", **options)
    assert verify_cached("a/b", **options) is True
    with monkeypatch.context() as patch:  # a disk whose inode says that nothing happened
        patch.setattr("bionemo.core.resources.marks._state", lambda _: [1, 2, 3, 4])
        path.write_bytes(CONTENT)
        load("a/b", **options)
        corrupt(path)
        assert load("a/b", **options).read_bytes() != CONTENT
        assert load("a/b", verify=True, **options).read_bytes() == CONTENT
        corrupt(path)
        assert verify_cached("a/b", **options) is False
        assert load("a/b", **options).read_bytes() == CONTENT
    path.unlink()
    assert verify_cached("a/b", **options) is None


def test_a_copy_of_a_cache_is_hashed_and_not_downloaded(server, publish, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT)
    path = load("a/b", resources=resources, cache_dir=tmp_path / "one")
    copy = tmp_path / "two" / path.relative_to(tmp_path / "one")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    assert load("a/b", resources=resources, cache_dir=tmp_path / "two") == copy
    assert len(server.requests) == 1


@pytest.mark.parametrize("processing", ["none", "unpack"])
def test_files_that_were_moved_and_linked_are_still_watched(processing: str, server, publish, tmp_path: Path) -> None:
    content = archive_of({"data/one": CONTENT, "two": b"2"}) if processing == "unpack" else CONTENT
    resources = publish("few.gz", content, processing=processing)
    options = {"resources": resources, "cache_dir": tmp_path / "cache"}
    path = load("a/b", **options)
    moved = path / "data" if processing == "unpack" else path
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")
    assert load("a/b", **options) == load("a/b", **options) == path
    assert len(server.requests) == 1
    corrupt(tmp_path / "elsewhere" / "one" if processing == "unpack" else tmp_path / "elsewhere")
    assert cached_path("a/b", **options) is None
    assert load("a/b", **options) == path
    assert (path / "data" / "one" if processing == "unpack" else path).read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["", "{", "[]", '{"": 3}', "null"])
def test_a_damaged_mark_means_to_verify_again(text: str, server, publish, tmp_path: Path) -> None:
    resources = publish("few.bin", CONTENT)
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    (path.parent / f".{path.name}.verified").write_text(text)
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    assert load("a/b", resources=resources, cache_dir=tmp_path) == path
    assert len(server.requests) == 1


def test_offline_opens_no_socket_and_says_what_is_missing(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("few.bin", CONTENT)
    monkeypatch.setenv("BIONEMO_OFFLINE", "1")
    with pytest.raises(OSError, match=r"a/b isn't in the cache \(.*few.bin\), and BIONEMO_OFFLINE forbids"):
        load("a/b", resources=resources, cache_dir=tmp_path)
    mixed = publish("few.bin", CONTENT, urls=["file:///no/such", f"{server.url}/few.bin"])
    with pytest.raises(OSError, match=r"/no/such is no file\n .*few.bin: OSError: BIONEMO_OFFLINE forbids"):
        load("a/b", resources=mixed, cache_dir=tmp_path)
    assert server.requests == []
    monkeypatch.setenv("BIONEMO_OFFLINE", "0")
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    monkeypatch.setenv("BIONEMO_OFFLINE", "yes")
    assert load("a/b", resources=resources, cache_dir=tmp_path, verify=True) == path
    monkeypatch.setenv("BIONEMO_OFFLINE", "maybe")
    path.unlink()
    with pytest.raises(ValueError, match="BIONEMO_OFFLINE must be 1 or 0, got BIONEMO_OFFLINE=maybe"):
        load("a/b", resources=resources, cache_dir=tmp_path)


def test_a_source_chooses_urls_by_their_scheme(server, publish, tmp_path: Path) -> None:
    local = tmp_path / "few.bin"
    local.write_bytes(CONTENT)
    resources = publish("few.bin", CONTENT, urls=[f"{server.url}/few.bin", local.as_uri()])
    load("a/b", resources=resources, cache_dir=tmp_path / "cache", source="file")
    assert server.requests == []
    with pytest.raises(ValueError, match="source must be one of file, http for a/b, got source='ngc'"):
        load("a/b", resources=resources, cache_dir=tmp_path / "cache", source="ngc")


def test_limits_reach_the_archive(publish, tmp_path: Path) -> None:
    resources = publish("few.tar.gz", archive_of({"one": b"1" * 5000}), processing="unpack")
    with pytest.raises(ValueError, match=r"few.tar.gz can't be unpacked: it unpacks to more than 4000 bytes"):
        load("a/b", resources=resources, cache_dir=tmp_path, limits=UnpackLimits(max_bytes=4000))
    assert cached_path("a/b", resources=resources, cache_dir=tmp_path) is None
    assert not list(tmp_path.rglob("unpacked/*"))
    assert tree(load("a/b", resources=resources, cache_dir=tmp_path)) == {"one": b"1" * 5000}


def test_an_absent_library_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    monkeypatch.setitem(__import__("sys").modules, "ngcsdk", None)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    urls = ["s3://bucket/few", "ngc://model/org/few:1/few", "hf://org/repository/few"]
    resources = {"a/b": Resource(tag="a/b", urls=urls, sha256="0" * 64)}
    with pytest.raises(OSError, match=r"core\[remote\].*\n.*core\[ngc\].*\n.*core\[hub\]"):
        load("a/b", resources=resources, cache_dir=tmp_path)


def test_a_file_in_a_cache_of_2x_is_not_downloaded_again(server, publish, tmp_path: Path, monkeypatch) -> None:
    resources = publish("a.bin", CONTENT)
    old = tmp_path / f"{resources['a/b'].sha256}-a.bin"
    old.write_bytes(CONTENT)
    monkeypatch.setenv("BIONEMO_OFFLINE", "1")
    path = load("a/b", resources=resources, cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == []
    monkeypatch.delenv("BIONEMO_OFFLINE")
    old.write_bytes(CONTENT[:-1] + b"x")
    path.unlink()
    assert load("a/b", resources=resources, cache_dir=tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1
