"""Valid calls of what reads and writes files, in a temporary folder."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from bionemo import data
from bionemo.core import resources
from bionemo.data import sources
from tests.fuzzing.calls.parts import LENGTHS, SHORT, Call, call

CONTENT = b"ACGT\n"
ENTRY = f"""
- tag: b
  urls: ["https://example.org/a.bin"]
  sha256: "{"0" * 64}"
  size: 5
  owner: me
  license: CC0
  description: few
"""


@cache
def folder() -> Path:
    """Return a folder with one small file of each kind."""
    made = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    (made / "a.fasta").write_text(">a\nACGT\n>b\nGG\n")
    (made / "run.jsonl").write_text(data.log_line(step=0, rank=0, ids=[1, 2], world_size=1) + "\n")
    (made / "a.bin").write_bytes(CONTENT)
    (made / "counts").mkdir()
    (made / "catalog").mkdir()
    (made / "catalog" / "a.yaml").write_text(ENTRY)
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(made / "a.parquet")
    anndata.AnnData(np.ones((3, 2), dtype=np.float32)).write_h5ad(made / "a.h5ad")
    sources.write_tokens(made / "tokens", [[5, 6], [7]], dtype=np.uint8)
    sources.write_manifest(made, [(made / "tokens.bin", made / "tokens.idx")], opener=sources.TokenFile)
    return made


def resource() -> dict[str, Any]:
    url = f"file://{folder()}/a.bin"
    digest = hashlib.sha256(CONTENT).hexdigest()
    about = {"owner": "me", "license": "CC0", "description": "few"}
    return {"a/b": resources.Resource(tag="a/b", urls=[url], sha256=digest, size=len(CONTENT), **about)}


def cached() -> dict[str, Any]:
    return {"resources": resource(), "cache_dir": folder() / "cache"}


def file_calls() -> Iterator[Call]:
    def within(name: str, parameter: str = "path") -> Any:
        return lambda: {parameter: folder() / name}

    yield call(sources.FastaFile, within("a.fasta"), table=sources.letter_table("ACGT", first=4))
    yield call(sources.TokenFile, within("tokens.bin"))
    yield call(sources.TableRows, within("a.parquet", "paths"), columns=["a"])
    yield call(sources.CellRows, within("a.h5ad", "paths"), obs=(), layer=None, dense=True)
    yield call(sources.write_tokens, within("written.bin"), rows=[[5, 6], [7]], dtype=np.uint8)
    tokenized = {
        "table": sources.letter_table("ACGT", first=4),
        "before": [1],
        "after": (2,),
        "dtype": np.uint8,
        "num_workers": 0,
    }
    paths = lambda: {"fasta": folder() / "a.fasta", "out": folder() / "out.bin"}  # noqa: E731
    yield call(sources.tokenize_fasta, paths, **tokenized)._replace(fixed=frozenset(["num_workers"]))
    files = lambda: {"folder": folder(), "shards": [(folder() / "tokens.bin", folder() / "tokens.idx")]}  # noqa: E731
    yield call(sources.write_manifest, files, opener=sources.TokenFile)
    remote = lambda: {"manifest": f"file://{folder()}/manifest.json", "cache": folder() / "shards"}  # noqa: E731
    yield call(sources.RemoteRows, remote, opener=sources.TokenFile, max_bytes=10**6)
    yield call(data.read_run_log, within("run.jsonl"))
    packed = data.PackedOrder(order=SHORT, lengths=LENGTHS, max_tokens=16, bins_per_step=2, window_size=4, seed=3)
    yield call(data.count_steps, lambda: {"folder": folder() / "counts"}, order=packed, stop=2)
    yield call(resources.load, cached, tag="a/b", source=None, verify=True, limits=resources.UnpackLimits())
    yield call(resources.cached_path, cached, tag="a/b")
    yield call(resources.verify_cached, cached, tag="a/b")
    yield call(resources.prune, lambda: {"cache_dir": folder() / "cache"}, older_than=1000, dry_run=True)
    yield call(resources.get_all_resources, lambda: {"path": folder() / "catalog"})
