"""Arrays as values, which compare, hash and pickle by their content."""

import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bionemo.core.frozen_array import FrozenArray


def test_a_frozen_array_is_a_read_only_copy() -> None:
    array = np.arange(3.0)
    frozen = FrozenArray(array)
    array[0] = 9
    assert frozen.array.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        frozen.array[0] = 9
    with pytest.raises(AttributeError):
        frozen.array = array


def test_frozen_arrays_compare_and_hash_by_content() -> None:
    assert FrozenArray(np.arange(3)) == FrozenArray(np.arange(6)[::2] // 2)
    assert hash(FrozenArray(np.arange(3))) == hash(FrozenArray(np.arange(3)))
    assert FrozenArray(np.arange(3)) == FrozenArray(np.arange(3).astype(">i8"))
    different = [np.arange(3), np.arange(3.0), np.arange(4), np.arange(3)[:, None], np.arange(3)[::-1]]
    assert len({FrozenArray(array) for array in different}) == len(different)
    assert FrozenArray(np.arange(3)) != (0, 1, 2)


def test_an_unpickled_frozen_array_is_equal_and_read_only() -> None:
    copy = pickle.loads(pickle.dumps(FrozenArray(np.arange(3.0))))
    assert copy == FrozenArray(np.arange(3.0))
    assert not copy.array.flags.writeable


@pytest.mark.parametrize(
    ("array", "digest"),
    [
        (np.arange(3.0), "30c9a2b1b81503eb12893dfb53dd62849369b305e4eb6d58258ab5be70d1e107"),
        (np.array(5), "e7e60cf10e7efb789d245e5a7921f0f70dec5f8bd503ff27ca0b9ff5bf05b315"),
        (np.empty((0, 3)), "add540424e6f90b98b4711199cbd24206257030663ab242e199f046899903a1a"),
        (
            np.arange(6, dtype=np.int16).reshape(2, 3),
            "a2581b1505f538503482c316505117a3df87f393608a64a9856c631f6991534b",
        ),
        (
            np.arange(6, dtype=np.float32).reshape(2, 3).T,
            "3dfa20e976745555136c03cc1208382aeaf95296896625e923e80361bee9dd98",
        ),
        (np.arange(3, dtype=">u4"), "56d897aea8fb9d8a6067538f0496dc0b27fca18bca29a787d6d43530b21316af"),
        (np.array([True, False]), "14645ab6dc7024ad9d580db3b17ce454ccfac0cd54b0c80935159ec65fa7817b"),
    ],
)
def test_digests_have_pinned_values(array: np.ndarray, digest: str) -> None:
    assert FrozenArray(array).digest == digest


def test_the_digest_copies_nothing() -> None:
    frozen = FrozenArray(np.zeros((1000, 1000)))
    tracemalloc.start()
    assert len(frozen.digest) == 64
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**5


def test_the_digest_is_equal_in_another_process() -> None:
    script = "import numpy; from bionemo.core.frozen_array import *; print(FrozenArray(numpy.arange(3.0)).digest)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == FrozenArray(np.arange(3.0)).digest


@pytest.mark.parametrize("dtype", [object, complex, np.longdouble, "U3", "M8[s]", [("a", "i8")]])
def test_anything_but_real_numbers_is_refused(dtype) -> None:
    with pytest.raises(TypeError, match="array must hold real numbers of at most 64 bits, got dtype="):
        FrozenArray(np.empty(2, dtype=dtype))


def test_a_frozen_array_cannot_be_made_writable_and_may_be_empty() -> None:
    with pytest.raises(ValueError, match="WRITEABLE"):
        FrozenArray(np.arange(3)).array.flags.writeable = True
    assert FrozenArray(np.empty((0, 3))).array.shape == (0, 3)
    assert FrozenArray(np.array(5)).array.shape == ()


def test_a_map_of_a_file_for_reading_is_kept_and_pickled_by_path(tmp_path: Path) -> None:
    path = tmp_path / "lengths.npy"
    np.save(path, np.arange(100_000, dtype=np.int32))
    frozen = FrozenArray(np.load(path, mmap_mode="r"))
    assert isinstance(frozen.array, np.memmap)
    assert frozen == FrozenArray(np.arange(100_000, dtype=np.int32))
    message = pickle.dumps(frozen)
    assert len(message) < 1000
    copy = pickle.loads(message)
    assert isinstance(copy.array, np.memmap)
    assert copy == frozen
    with pytest.raises(ValueError, match="WRITEABLE"):
        frozen.array.setflags(write=True)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="greater than file size"):
        pickle.loads(message)


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_a_map_that_can_be_written_to_is_copied(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "lengths.npy"
    np.save(path, np.arange(10))
    array = np.load(path, mmap_mode=mode)
    frozen = FrozenArray(array)
    array[0] = 9
    assert frozen.array[0] == 0


@pytest.mark.parametrize("part", [slice(5, None), slice(None, None, 2), slice(0, 4)])
def test_a_part_of_a_map_is_copied(tmp_path: Path, part: slice) -> None:
    path = tmp_path / "lengths.npy"
    np.save(path, np.arange(10))
    copy = pickle.loads(pickle.dumps(FrozenArray(np.load(path, mmap_mode="r")[part])))
    assert copy.array.tolist() == np.arange(10)[part].tolist()
