"""Archives, hostile and not: what they hold lies in one folder, within limits, or nothing of it is there."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bionemo.core.resources import UnpackLimits, limits
from bionemo.core.resources.unpacking import decompress, unpack

LIMITS = UnpackLimits()


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def tar(path: Path, members, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_archive_is_unpacked(mode: str, tmp_path: Path) -> None:
    members = [
        member("./data", type=tarfile.DIRTYPE, mode=0o755),
        member("./data/run.sh", b"#!", mode=0o4777, uid=7, mtime=1_000_000_000),
        member("data/deep/a.txt", b"a" * 5000, mode=0o600),
        member("data/deep/a.txt", b"the last one counts"),
        member("data/empty", type=tarfile.DIRTYPE),
        link("data/same.txt", "data/deep/a.txt", tarfile.LNKTYPE),
        link("data/up", "../data/deep"),
        link("top", "data/up/a.txt"),
    ]
    path = tar(tmp_path / "a", members, mode)
    unpack(path, tmp_path / "out", LIMITS)
    assert tree(tmp_path / "out") == {
        "data/run.sh": b"#!",
        "data/deep/a.txt": b"the last one counts",
        "data/same.txt": b"the last one counts",
        "top": b"the last one counts",
    }
    found = (tmp_path / "out" / "data" / "run.sh").stat()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(found.st_mode) == 0o777 & ~umask
    assert (found.st_uid, found.st_mtime) == (os.getuid(), 1_000_000_000)
    assert (tmp_path / "out" / "data" / "empty").is_dir()
    assert (tmp_path / "out" / "data" / "up").is_symlink()


def test_a_zip_archive_is_unpacked(tmp_path: Path) -> None:
    members = [
        ("data/", "", stat.S_IFDIR | 0o755),
        ("data/run.sh", b"#!", stat.S_IFREG | 0o755),
        ("data/deep/a.txt", b"a" * 5000, 0),
        ("top", "data/deep", stat.S_IFLNK | 0o777),
    ]
    unpack(zipped(tmp_path / "a", members), tmp_path / "out", LIMITS)
    assert (tmp_path / "out" / "top" / "a.txt").read_bytes() == b"a" * 5000
    assert os.access(tmp_path / "out" / "data" / "run.sh", os.X_OK)
    assert not (tmp_path / "out" / "data" / "deep" / "a.txt").stat().st_mode & 0o111


def test_an_earlier_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    unpack(tar(tmp_path / "a", [member("new", b"new")]), tmp_path / "out", LIMITS)
    assert tree(tmp_path) == {"a": (tmp_path / "a").read_bytes(), "out/new": b"new"}


HOSTILE = {
    "absolute": [member("/etc/passwd", b"x")],
    "parent": [member("../x", b"x")],
    "inner-parent": [member("a/../../x", b"x")],
    "harmless-parent": [member("a/../x", b"x")],
    "backslash": [member("a\\..\\x", b"x")],
    "empty-name": [member("", b"x")],
    "long-name": [member("a" * 300, b"x")],
    "character-device": [member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block-device": [member("disk", type=tarfile.BLKTYPE, devmajor=8)],
    "pipe": [member("pipe", type=tarfile.FIFOTYPE)],
    "contiguous-unknown": [member("x", type=b"Z", linkname="y")],
    "link-absolute": [link("x", "/etc/passwd")],
    "link-out": [member("a/b", b"x"), link("a/x", "../../secret")],
    "link-to-parent": [link("x", "..")],
    "link-dangling": [link("x", "nothing")],
    "link-empty": [link("x", "")],
    "link-long": [link("x", "a/" * 5000)],
    "deep": [member("a/" * 3000 + "x", b"x")],
    "itself": [member(".", b"x")],
    "link-loop": [link("x", "y"), link("y", "x")],
    "link-through-link": [
        member("a/b/c", b"x"),
        link("deep", "a/b"),
        link("x", "deep/../../secret"),  # by names inside, by the file system outside
        link("y", "a/b/up/../secret"),
        link("a/b/up", "../.."),
    ],
    "write-through-link": [link("x", ".."), member("x/secret", b"overwritten")],
    "link-inside-link": [link("x", ".."), link("x/planted", "y")],
    "link-inside-later-link": [link("x/planted", "y"), link("x", "..")],
    "link-deep-inside-link": [member("a/b", b"x"), link("a/x", "../.."), link("a/x/new/planted", "y")],
    "write-over-link": [link("x", "../secret"), member("x", b"overwritten")],
    "hard-link-out": [link("x", "../secret", tarfile.LNKTYPE)],
    "hard-link-absolute": [link("x", "/etc/passwd", tarfile.LNKTYPE)],
    "hard-link-to-nothing": [link("x", "y", tarfile.LNKTYPE)],
    "hard-link-to-link": [member("a", b"x"), link("y", "../secret"), link("x", "y", tarfile.LNKTYPE)],
    "file-over-folder": [member("a/b", b"x"), member("a", b"x")],
    "file-as-folder": [member("a", b"x"), member("a/b", b"x")],
    "link-over-folder": [link("a", "b"), member("b/c", b"x"), member("a/c", b"x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_archive_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = tar(tmp_path / "a.tar.gz", HOSTILE[name])
    with pytest.raises(ValueError, match=r"a.tar.gz can't be unpacked: "):
        unpack(path, tmp_path / "cache", LIMITS)
    assert names(tmp_path) == ["a.tar.gz", "secret"]
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize(
    "entry",
    [
        ("/etc/passwd", b"x", 0),
        ("../x", b"x", 0),
        ("a\\..\\..\\x", b"x", 0),
        ("x", "../secret", stat.S_IFLNK | 0o777),
        ("x", "/etc/passwd", stat.S_IFLNK | 0o777),
        ("x", "nothing", stat.S_IFLNK | 0o777),
        ("x", b"", stat.S_IFIFO | 0o644),
        ("x", b"", stat.S_IFCHR | 0o644),
    ],
    ids=["absolute", "parent", "backslash", "link-out", "link-absolute", "dangling", "pipe", "device"],
)
def test_a_hostile_zip_archive_is_refused_and_leaves_nothing(entry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = zipped(tmp_path / "a.zip", [("first", b"x", 0), entry])
    with pytest.raises(ValueError, match=r"a.zip can't be unpacked: "):
        unpack(path, tmp_path / "cache", LIMITS)
    assert names(tmp_path) == ["a.zip", "secret"]


ZEROS = bytes(2**21)


@pytest.fixture
def _small_limit(monkeypatch) -> None:
    monkeypatch.setattr(limits, "_SMALL", 2**20)  # instead of 16 MiB, to be fast


def sparse_tar() -> bytes:
    """Return a small archive whose one file claims to be a gibibyte long, all of it a hole (PAX, GNU sparse 1.0)."""
    info = tarfile.TarInfo("hole")
    content = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(content)
    size = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "hole",
        "GNU.sparse.realsize": "1073741824",
    }
    info.pax_headers = size
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def long_header_tar() -> bytes:
    """Return an archive whose header with a long name claims and has 2 MiB, which are read into memory."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, len(ZEROS)
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + ZEROS + bytes(1024))


@pytest.mark.usefixtures("_small_limit")
@pytest.mark.parametrize(
    "name", ["tar.gz", "tar.bz2", "tar.xz", "zip", "many-files", "many-zip-files", "sparse", "long-header"]
)
def test_a_bomb_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    members = [member("zeros", ZEROS)]
    if name.startswith("tar"):
        tar(path, members, name.replace("tar.", "w:"))
    elif name == "zip":
        zipped(path, [("zeros", ZEROS, 0)])
    elif name == "many-files":
        tar(path, [member(str(number)) for number in range(101)])
    elif name == "many-zip-files":
        zipped(path, [(str(number), b"", 0) for number in range(101)])
    else:
        path.write_bytes({"sparse": sparse_tar, "long-header": long_header_tar}[name]())
    reason = "100 files" if "many" in name else r"\d+ bytes, 200 times its size"
    with pytest.raises(ValueError, match=rf"a can't be unpacked: it unpacks to more than {reason}"):
        unpack(path, tmp_path / "out", UnpackLimits(max_files=100))
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("_small_limit")
def test_limits_can_be_raised_and_small_files_have_any_ratio(tmp_path: Path) -> None:
    path = tar(tmp_path / "a", [member("zeros", ZEROS)])
    unpack(path, tmp_path / "out", UnpackLimits(max_ratio=2000))
    assert (tmp_path / "out" / "zeros").stat().st_size == len(ZEROS)
    unpack(tar(tmp_path / "b", [member("zeros", ZEROS[: 2**19])]), tmp_path / "small", LIMITS)
    with pytest.raises(ValueError, match="more than 1000 bytes. Pass limits=UnpackLimits\\(max_bytes="):
        unpack(tmp_path / "b", tmp_path / "small", UnpackLimits(max_bytes=1000))


@pytest.mark.usefixtures("_small_limit")
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_compressed_bomb_is_refused(compress, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(compress(ZEROS))
    with pytest.raises(ValueError, match="a can't be decompressed: it unpacks to more than 1048576 bytes"):
        decompress(tmp_path / "a", tmp_path / "out", LIMITS)
    assert names(tmp_path) == ["a"]


def test_what_is_neither_compressed_nor_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"text", b"PK\x03\x04 but no zip", gzip.compress(b"text"), b"\x1f\x8b no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a can't be unpacked: "):
            unpack(path, tmp_path / "out", LIMITS)
    for content in (b"", b"text", gzip.compress(b"text")[:-5], b"BZh9 no bzip2", b"\xfd7zXZ\x00 no xz"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a can't be decompressed: "):
            decompress(path, tmp_path / "out", LIMITS)
    path.write_bytes(b"\x28\xb5\x2f\xfd zstd")
    with pytest.raises(ValueError, match="compressed by Zstandard, which .* Use gzip or xz"):
        unpack(path, tmp_path / "out", LIMITS)
    assert names(tmp_path) == ["a"]


def test_an_encrypted_zip_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", [("x", b"x", 0)])
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" of both headers
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a can't be unpacked: .*encrypted"):
        unpack(path, tmp_path / "out", LIMITS)


NAMES = st.lists(st.sampled_from(["..", ".", "a", "b", "/", "", "x" * 10]), max_size=5).map("/".join)
MEMBERS = st.lists(
    st.one_of(
        st.builds(lambda name: member(name, b"x"), NAMES),
        st.builds(lambda name: member(name, type=tarfile.DIRTYPE), NAMES),
        st.builds(link, NAMES, NAMES, st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE])),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(members=MEMBERS)
def test_no_archive_changes_or_reveals_what_is_outside(members, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("archives")
    (folder / "secret").write_text("secret")
    tar(folder / "a", members, "w")
    try:
        unpack(folder / "a", folder / "out", LIMITS)
    except ValueError:
        assert names(folder) == ["a", "secret"]
    else:
        for path in (folder / "out").rglob("*"):
            assert path.resolve(strict=True).is_relative_to(folder / "out")
            assert not path.is_file() or path.read_bytes() == b"x"
    assert (folder / "secret").read_text() == "secret"
    assert (folder / "secret").stat().st_nlink == 1
