"""Arrays as values."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from bionemo.core.utils.frozen_array import FrozenArray


def test_it_is_a_read_only_copy() -> None:
    array = np.arange(3.0)
    frozen = FrozenArray(array)
    array[0] = 9
    assert frozen.array.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        frozen.array[0] = 9
    with pytest.raises(AttributeError):
        frozen.array = array


def test_it_compares_and_hashes_by_content() -> None:
    assert FrozenArray(np.arange(3)) == FrozenArray(np.arange(6)[::2] // 2)
    assert hash(FrozenArray(np.arange(3))) == hash(FrozenArray(np.arange(3)))
    assert FrozenArray(np.arange(3)) == FrozenArray(np.arange(3).astype(">i8"))
    different = [np.arange(3), np.arange(3.0), np.arange(4), np.arange(3)[:, None], np.arange(3)[::-1]]
    assert len({FrozenArray(array) for array in different}) == len(different)
    assert FrozenArray(np.arange(3)) != (0, 1, 2)


def test_it_pickles_and_stays_read_only() -> None:
    copy = pickle.loads(pickle.dumps(FrozenArray(np.arange(3.0))))
    assert copy == FrozenArray(np.arange(3.0))
    assert not copy.array.flags.writeable


def test_its_digest_is_the_same_in_another_process() -> None:
    script = "import numpy; from bionemo.core.utils.frozen_array import *; print(FrozenArray(numpy.arange(3.0)).digest)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == FrozenArray(np.arange(3.0)).digest


@pytest.mark.parametrize("dtype", [object, complex, np.longdouble, "U3", "M8[s]", [("a", "i8")]])
def test_what_is_no_plain_number_is_refused(dtype) -> None:
    with pytest.raises(TypeError, match="array must hold real numbers of at most 64 bits, got dtype="):
        FrozenArray(np.empty(2, dtype=dtype))


def test_no_flag_makes_it_writable_and_no_content_is_too_small() -> None:
    with pytest.raises(ValueError, match="WRITEABLE"):
        FrozenArray(np.arange(3)).array.flags.writeable = True
    assert FrozenArray(np.empty((0, 3))).array.shape == (0, 3)
    assert FrozenArray(np.array(5)).array.shape == ()
