"""The laws of checkpoint files: what is saved is loaded, and changed bytes are refused."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.adapters.lightning import AtomicCheckpointIO, check_checkpoint, find_checkpoint

TENSORS = st.builds(
    lambda dtype, numbers: torch.tensor(numbers).to(dtype),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]),
    st.lists(st.integers(-100, 100), max_size=50),
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
CONTENTS = st.dictionaries(st.text(), st.lists(PLAIN, max_size=3) | PLAIN, max_size=5)
WEIGHTS = st.dictionaries(st.text(), TENSORS, max_size=5)


@given(content=CONTENTS, weights=WEIGHTS)
def test_a_loaded_checkpoint_equals_the_saved_one(content: dict, weights: dict[str, torch.Tensor]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ckpt"
        AtomicCheckpointIO().save_checkpoint({"content": content, "weights": weights}, path)
        loaded = AtomicCheckpointIO().load_checkpoint(path)
        assert find_checkpoint(folder) == path
    assert loaded["content"] == content
    assert list(loaded["weights"]) == list(weights)
    for name, tensor in weights.items():
        assert loaded["weights"][name].dtype == tensor.dtype
        assert torch.equal(loaded["weights"][name], tensor)


@given(weights=WEIGHTS, data=st.data())
def test_any_changed_bytes_are_refused(weights: dict[str, torch.Tensor], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ckpt"
        AtomicCheckpointIO().save_checkpoint(weights, path)
        whole = path.read_bytes()
        offsets = st.integers(0, len(whole)) | st.integers(len(whole) - 100, len(whole))
        start, end = sorted(data.draw(st.tuples(offsets, offsets)))
        changed = whole[:start] + data.draw(st.binary(max_size=100) | st.just(bytes(end - start))) + whole[end:]
        path.write_bytes(changed)
        if changed == whole:
            check_checkpoint(path)
            return
        with pytest.raises(ValueError, match="path must be a whole checkpoint, got path="):
            check_checkpoint(path)
        with pytest.raises(ValueError, match=f"a file of {len(changed):,} bytes.* There is no whole checkpoint in"):
            AtomicCheckpointIO().load_checkpoint(path)
        assert find_checkpoint(folder) is None
