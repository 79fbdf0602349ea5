"""Import times, each in new processes: what a script pays before it does anything."""

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.measure import Effort, printed, said
from benchmarks.record import Measurement, Side

TEXT = """
import time
began = time.perf_counter()
{imports}
print(time.perf_counter() - began)
"""

OURS = ["bionemo.data", "bionemo.data.pipes"]
OTHERS = {
    "torch": (),
    "torchdata.stateful_dataloader": (),
    "datasets": (),
    "transformers.data.data_collator": (),
    "megatron.core.datasets.gpt_dataset": (),
    "grain": (peers.grain_folder,),
    "streaming": (peers.mosaic_folder,),
    "litdata": (peers.litdata_folder,),
    "scdataset": (peers.scdataset_folder,),
}
"""Modules, and where they are installed if not with this library."""


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare our modules with others; all but grain and datasets import torch."""
    ours, others = effort.pick((OURS, list(OTHERS)), (OURS[1:], ["torch", "grain", "datasets"]))
    took: dict[str, list[float]] = {name: [] for name in (*ours, *others)}
    reasons: dict[str, str] = {}
    for _ in range(effort.pick(5, 2)):
        for name, rounds in took.items():
            if name not in reasons:
                try:
                    rounds.append(imported(name))
                except Exception as error:
                    if name in ours:
                        raise
                    reasons[name] = said(error)
    for mine in ours:
        for name in others:
            reason = reasons.get(name, "")
            yield Measurement(
                what=f"import {mine}",
                unit="s",
                ours=Side(name=mine, rounds=tuple(took[mine]), is_ours=True),
                peer=Side(name=f"import {name}", rounds=() if reason else tuple(took[name]), reason=reason),
            )


def imported(name: str) -> float:
    """Return the seconds of an import in a new process."""
    folders = [folder() for folder in OTHERS.get(name, ())]
    before = "from benchmarks.peers import without_vision; without_vision(); " if name == "streaming" else ""
    return float(printed(["-c", TEXT.format(imports=f"{before}import {name}")], folders=folders))
