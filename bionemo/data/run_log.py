"""Logs of what a run has read: a line of JSON per batch and rank."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import as_int64

__all__ = ["LoggedBatch", "log_line", "read_run_log"]


class LoggedBatch(NamedTuple):
    """What a rank has read at a step."""

    step: int
    rank: int
    ids: list[Any]
    """The index of each sample in its data set; for several data sets, `[source, epoch, idx]`."""
    world_size: int | None = None
    """Number of ranks; None for as many as the log has."""


@checked
def log_line(*, step: AnyInt, rank: AnyInt, ids: Any, world_size: AnyInt | None = None) -> str:
    """Return a line of a run log, without its line break: a batch as a rank has read it, as JSON.

    Args:
        step: number of the batch.
        rank: data-parallel rank.
        ids: the index of each sample in its data set, from the data itself: integers, or a row `source, epoch, idx`
            per sample.
        world_size: number of ranks; needed if it changes during the run.

    Raises:
        TypeError: if a value is not an integer.
        ValueError: if a number is out of range.

    Example:
        >>> log_line(step=3, rank=0, ids=[17, 4])
        '{"step": 3, "rank": 0, "ids": [17, 4]}'
    """
    size = None if world_size is None else check_int(world_size, name="world_size", low=1)
    rank = check_int(rank, name="rank", **({} if size is None else {"high": size - 1}))
    line = {"step": check_int(step, name="step"), "rank": rank, "ids": as_int64(ids, name="ids").tolist()}
    return json.dumps(line if size is None else {**line, "world_size": size})


@checked
def read_run_log(path: str | Path) -> list[LoggedBatch]:
    """Return the batches in a run log: a file of lines like those of `log_line`.

    A line that a killed process has cut short is left out, also if the next run has continued the same line.

    Raises:
        ValueError: if the file can't be read, or a line is not such a line; the message names it.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     print(log_line(step=3, rank=0, ids=[17, 4]), file=file, flush=True)
        ...     read_run_log(file.name)
        [LoggedBatch(step=3, rank=0, ids=[17, 4], world_size=None)]
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"can't read {shown(str(path))}: {getattr(error, 'strerror', None) or error}"
        raise ValueError(message) from error
    found = []
    for number, line in enumerate(lines, start=1):
        for part in re.split(r'(?=\{"step")', line):  # a cut line, and the one that was appended to it
            is_cut = part.startswith("{") and not part.rstrip().endswith("}")
            if part.strip() and not is_cut:
                found.append(_parsed(part, f"line {number} of {path}"))
    return found


def _parsed(line: str, where: str) -> LoggedBatch:
    try:
        entry = json.loads(line)
        if not isinstance(entry, Mapping) or not {"step", "rank", "ids"} <= entry.keys():
            message = f"must hold step, rank and ids, got {shown(entry)}"
            raise ValueError(message)  # noqa: TRY301 - named below, like the other errors
        step, rank = (check_int(entry[name], name=name) for name in ("step", "rank"))
        size = None if entry.get("world_size") is None else check_int(entry["world_size"], name="world_size", low=1)
        return LoggedBatch(step, rank, as_int64(entry["ids"], name="ids").tolist(), size)
    except (TypeError, ValueError) as error:
        reason = f"must be JSON, got {shown(line)}" if isinstance(error, json.JSONDecodeError) else error
        message = f"{where}: {reason}"
        raise ValueError(message) from error
