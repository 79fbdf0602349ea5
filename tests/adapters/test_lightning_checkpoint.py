"""Checkpoints of real trainers: damaged in any way, they are refused before anything is loaded."""

import datetime as dt
import decimal
import hashlib
import io
import os
import pathlib
import random
import resource
import shutil
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from bionemo.adapters.lightning import AtomicCheckpointIO, check_checkpoint, find_checkpoint
from tests.adapters.trainers import run

COMMENT, END = 71, 71 + 22


pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder of real checkpoints, step=1.ckpt to step=3.ckpt."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder, steps=3)
    return folder


@pytest.fixture(scope="module")
def default_checkpoint(trained: Path, tmp_path_factory) -> Path:
    """The last of these checkpoints, as Lightning's default plugin writes it."""
    path = tmp_path_factory.mktemp("default_checkpoint") / "a.ckpt"
    TorchCheckpointIO().save_checkpoint(AtomicCheckpointIO().load_checkpoint(trained / "step=3.ckpt"), path)
    return path


def is_equal(one: object, two: object) -> bool:
    """Return whether two checkpoints hold equal tensors and values."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(is_equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(is_equal, one, two))
    return one == two


def damage(whole: bytes, older: bytes, draw: random.Random) -> bytes:
    """Return a checkpoint's bytes with one random damage."""
    size = draw.choice((512, 4096))
    start, end, length = draw.randrange(len(whole)), len(whole), draw.randint(1, 9000)
    first, second = sorted(draw.randrange(-(-end // size)) * size for _ in range(2))
    block, other = whole[first : first + size], whole[second : second + size]
    damages = (
        lambda: flip_bit(whole, draw.randrange(8 * end)),
        lambda: whole[:first] + bytes(len(block)) + whole[first + size :],
        lambda: whole[:start] + draw.randbytes(len(whole[start : start + size])) + whole[start + size :],
        lambda: whole[:start],
        lambda: whole + draw.choice((draw.randbytes(length), bytes(length), block)),
        lambda: whole[:first] + other + whole[first + len(block) : second] + block + whole[second + size :],
        lambda: whole[:start] + older[start : start + size] + whole[start + size :],
        lambda: whole[:start] + whole[start + size :],
    )
    return draw.choice(damages)()


def flip_bit(whole: bytes, bit: int) -> bytes:
    content = bytearray(whole)
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def count_outcomes(trained: Path, folder: Path, number: int, whole: bytes | None = None) -> Counter[str]:
    """Return the number of times that each outcome occurs when `number` damaged checkpoints are loaded."""
    draw, counts = random.Random(5), Counter()
    whole = whole or (trained / "step=3.ckpt").read_bytes()
    older = (trained / "step=2.ckpt").read_bytes()
    (folder / "good.ckpt").write_bytes(older)
    os.utime(folder / "good.ckpt", (0, 0))
    path, sound = folder / "damaged.ckpt", torch.load(io.BytesIO(whole), weights_only=True)
    while counts.total() < number:
        content = damage(whole, older, draw)
        if content == whole:  # the damage changed nothing
            continue
        path.write_bytes(content)
        try:
            loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
        except ValueError as error:
            is_clear = all(
                text in str(error) for text in (str(path), f"{len(content):,} bytes", f"from '{folder / 'good.ckpt'}'")
            )
            counts["refused" if is_clear else f"unclear: {error}"] += 1
        except Exception as error:  # noqa: BLE001 - every outcome is counted
            counts[repr(error)] += 1
        else:
            counts["loaded the same" if is_equal(loaded, sound) else "loaded other weights"] += 1
    return counts


def test_four_hundred_damaged_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    assert count_outcomes(trained, tmp_path, 400) == {"refused": 400}


@pytest.mark.slow
def test_ten_thousand_damaged_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    assert count_outcomes(trained, tmp_path, 10_000) == {"refused": 10_000}


def test_damaged_checkpoints_of_lightnings_default_plugin_never_load_other_weights(
    trained: Path, default_checkpoint: Path, tmp_path: Path
) -> None:
    counts = count_outcomes(trained, tmp_path, 400, default_checkpoint.read_bytes())
    assert counts.keys() <= {"refused", "loaded the same"}
    assert counts["refused"] > 350


def test_damage_to_the_digest_itself_is_refused(trained: Path, tmp_path: Path) -> None:
    whole, path = (trained / "step=3.ckpt").read_bytes(), tmp_path / "a.ckpt"
    size = len(whole)
    damaged = [flip_bit(whole, bit) for bit in range(8 * (size - END), 8 * size)]
    damaged += [whole[:-cut] for cut in range(1, END + 2)]
    damaged += [whole[:-END] + bytes(END), whole[:-END] + bytes(22) + whole[-COMMENT:]]
    damaged += [whole[:-COMMENT] + b"sha256:" + b"0" * 64, whole[:-COMMENT] + whole[-64:].upper(), whole + whole]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="path must be a whole checkpoint"):
            check_checkpoint(path)


def test_a_checkpoint_that_lost_its_digest_is_still_checked(trained: Path, tmp_path: Path) -> None:
    """Both the comment and its length are gone: the archive's CRCs remain."""
    content = (trained / "step=3.ckpt").read_bytes()[: -COMMENT - 2] + b"\0\0"
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    sound = AtomicCheckpointIO().load_checkpoint(trained / "step=3.ckpt")
    assert is_equal(AtomicCheckpointIO().load_checkpoint(path), sound)
    with zipfile.ZipFile(path) as archive:
        (record,) = (record for record in archive.infolist() if record.filename.endswith("/data.pkl"))
    path.write_bytes(flip_bit(content, 8 * (record.header_offset + 200)))
    with pytest.raises(ValueError, match=r"whose record '\w+/data.pkl' is damaged"):
        check_checkpoint(path)


def test_a_checkpoint_with_a_digest_is_an_ordinary_archive(trained: Path, tmp_path: Path) -> None:
    path = shutil.move(shutil.copy(trained / "step=3.ckpt", tmp_path / "a"), tmp_path / "renamed")
    check_checkpoint(path)
    content = path.read_bytes()
    assert content[-COMMENT:] == b"sha256:" + hashlib.sha256(content[:-COMMENT]).hexdigest().encode()
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == content[-COMMENT:]
        assert archive.testzip() is None
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 3
    assert is_equal(checkpoint, torch.load(path, weights_only=True, mmap=True))
    assert is_equal(checkpoint, AtomicCheckpointIO().load_checkpoint(path))
    assert is_equal(checkpoint, TorchCheckpointIO().load_checkpoint(path))


def test_a_trainer_does_not_resume_from_a_damaged_checkpoint(trained: Path, tmp_path: Path) -> None:
    for step in (2, 3):
        shutil.copy2(trained / f"step={step}.ckpt", tmp_path)
    path = tmp_path / "step=3.ckpt"
    content = path.read_bytes()
    path.write_bytes(flip_bit(content, 4 * len(content)))
    with pytest.raises(ValueError, match=r"bytes are not those that were written. Resume from '.*step=2.ckpt', the ne"):
        run(tmp_path, steps=4, checkpoint=path)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_checkpoint_without_a_digest_loads_as_before(tmp_path: Path, options: dict) -> None:
    path, weights = tmp_path / "a.ckpt", torch.arange(9)
    torch.save({"weights": weights}, path, **options)
    check_checkpoint(path)
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(path)["weights"], weights)
    content = path.read_bytes()
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=f"a file of {cut:,} bytes.* There is no whole checkpoint in"):
            AtomicCheckpointIO().load_checkpoint(path)


def test_a_checkpoint_without_crcs_loads(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(compute_crc32=False)
    try:
        torch.save({"a": 1}, tmp_path / "a.ckpt")
        AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "b.ckpt")
    finally:
        torch.serialization.set_crc32_options(compute_crc32=True)
    for name in ("a.ckpt", "b.ckpt"):
        assert AtomicCheckpointIO().load_checkpoint(tmp_path / name) == {"a": 1}


def test_files_that_are_not_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    for content in (b"", b"hi", b"garbage" * 100, bytes(10_000), b"sha256:", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        for refuse in (check_checkpoint, AtomicCheckpointIO().load_checkpoint):
            with pytest.raises(ValueError, match=f"a file of {len(content):,} bytes"):
                refuse(path)


def test_errors_name_a_path_that_can_not_be_read(tmp_path: Path) -> None:
    for refuse in (check_checkpoint, AtomicCheckpointIO().load_checkpoint):
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*none.ckpt'"):
            refuse(tmp_path / "none.ckpt")
        with pytest.raises(IsADirectoryError, match=f"Is a directory: '{tmp_path}'"):
            refuse(tmp_path)


def test_a_trainer_says_that_a_checkpoint_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        run(tmp_path, steps=1, checkpoint=tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (pathlib.PurePosixPath("a"), "pathlib.PurePosixPath"),
        (np.float64(1.5), "numpy"),
        (np.arange(3), "numpy"),
        (dt.date(2020, 1, 2), "datetime.date"),
        (decimal.Decimal(1), "decimal.Decimal"),
        (partial(int, base=2), "functools.partial"),
        (uuid.UUID(int=1), "uuid.UUID"),
        (range(3), "builtins.range|range"),
        (pathlib.Path, "pathlib"),
        (len, "len"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_error_names_objects_that_weights_only_refuses(tmp_path: Path, value: object, kinds: str) -> None:
    checkpoint, path = {"at": [value], "weights": torch.ones(3)}, tmp_path / "a.ckpt"
    for plugin in (AtomicCheckpointIO(), TorchCheckpointIO()):
        plugin.save_checkpoint(checkpoint, path)
        with pytest.raises(ValueError, match=f"is whole and holds .*({kinds}).* with weights_only=False"):
            AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
        loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
        assert repr(loaded["at"]) == repr([value])
        check_checkpoint(path)
        assert find_checkpoint(tmp_path) == path


def test_errors_of_torch_on_a_whole_checkpoint_are_unchanged(trained: Path) -> None:
    with pytest.raises(RuntimeError, match="no such device"):
        AtomicCheckpointIO().load_checkpoint(trained / "step=3.ckpt", map_location=no_such_device)
    loaded = AtomicCheckpointIO().load_checkpoint(trained / "step=3.ckpt", map_location="meta")
    assert all(weights.is_meta for weights in loaded["state_dict"].values())


def no_such_device(*_: object) -> None:
    message = "no such device"
    raise RuntimeError(message)


def test_the_newest_whole_checkpoint_is_found(trained: Path, tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "none") is None
    assert find_checkpoint(tmp_path) is None
    for name in ("step=9.ckpt", "step=10.ckpt", "old.ckpt", ".new.ckpt.0a1b2c3d.partial", "weights.pt"):
        shutil.copy(trained / "step=1.ckpt", tmp_path / name)
        os.utime(tmp_path / name, (5, 5) if name.startswith("step") else (4, 4) if name == "old.ckpt" else (6, 6))
    (tmp_path / "folder.ckpt").mkdir()
    (tmp_path / "dangling.ckpt").symlink_to(tmp_path / "none.ckpt")
    assert find_checkpoint(str(tmp_path)) == tmp_path / "step=10.ckpt"
    for name, expected in (("step=10.ckpt", "step=9.ckpt"), ("step=9.ckpt", "old.ckpt")):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
        assert find_checkpoint(tmp_path) == tmp_path / expected
    (tmp_path / "old.ckpt").write_bytes(b"")
    assert find_checkpoint(tmp_path) is None
    with pytest.raises(NotADirectoryError):
        find_checkpoint(tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="folder must be a local folder, got folder='s3://a'"):
        find_checkpoint("s3://a")


URLS = ["s3://a/b", "gs://a/b", "memory://a/b", "file:///a/b", "S3://a/b", Path("s3://a/b"), Path("/tmp/s3://a/b")]


@pytest.mark.parametrize("url", URLS, ids=str)
def test_a_url_is_never_taken_for_a_local_path(url: str | Path, tmp_path: Path, monkeypatch) -> None:
    """`Path("s3://a/b")` is `s3:/a/b`, a local path by its form."""
    monkeypatch.chdir(tmp_path)
    for use in (
        check_checkpoint,
        AtomicCheckpointIO().load_checkpoint,
        partial(AtomicCheckpointIO().save_checkpoint, {}),
    ):
        with pytest.raises(
            ValueError, match=f"path must be a local file, got path='{url}'. Give a local one. To train"
        ):
            use(url)
    with pytest.raises(ValueError, match=f"folder must be a local folder, got folder='{url}'"):
        find_checkpoint(url)
    assert list(tmp_path.iterdir()) == []


def test_local_paths_with_colons_are_local(tmp_path: Path) -> None:
    for name in ("10:30:00", "run:", "s3:a", "a:s3"):
        AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / name / "a.ckpt")
        assert find_checkpoint(tmp_path / name) == tmp_path / name / "a.ckpt"


@pytest.mark.parametrize("url", ["memory://a/b", Path("s3://a/b")], ids=str)
def test_a_trainer_refuses_a_remote_folder_before_the_first_step(url: str | Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="dirpath must be a local folder, got dirpath='.*a/b'. Give a local one"):
        run(tmp_path, steps=3, callbacks=[ModelCheckpoint(url)])
    with pytest.raises(ValueError, match="dirpath must be a local folder, got dirpath='memory://c/checkpoints'"):
        run(tmp_path, steps=3, callbacks=[ModelCheckpoint()], default_root_dir="memory://c")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_remote_folder_is_left_to_lightnings_own_plugin(tmp_path: Path) -> None:
    run(tmp_path, steps=2, callbacks=[ModelCheckpoint("memory://own")], plugins=[])
    assert fsspec.filesystem("memory").glob("/own/*.ckpt")


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """Limit the size of files that this process may write: a larger file fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 50_000, 400_000])
def test_a_full_disk_is_a_clear_error_and_leaves_the_old_checkpoint(trained: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.ckpt"
    shutil.copy(trained / "step=3.ckpt", path)
    before = path.read_bytes()
    checkpoint = {"weights": torch.ones(100_000), "more": torch.ones(100)}
    with (
        pytest.raises(
            OSError, match=r"File too large after [0-9,]+ bytes; the disk has [0-9,]+ bytes free.*a\.ckpt"
        ) as e,
        limited_file_size(size),
    ):
        AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    assert e.value.__suppress_context__
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ckpt"]
    assert path.read_bytes() == before
