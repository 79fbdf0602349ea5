"""Train a masked-language model: `python -m bionemo.examples.minimal [FASTA] [STEPS]`. Run it again to resume."""

import gzip
import sys
from functools import partial
from pathlib import Path

import torch

from bionemo.core.files import write_atomically
from bionemo.core.padding import pad_token_ids
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens, random_crop, step_of
from bionemo.data.pipes import loader


def _hide(batch: tuple[torch.Tensor, torch.Tensor], *, seeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tokens with 15% of the residues corrupted, the padding mask, and the labels (-100 elsewhere)."""
    ids, labels = mask_tokens(*batch, seeds=seeds, mask_id=1, replacement_ids=b"ACDEFGHIKLMNPQRSTVWY")
    return ids, batch[1], labels


def _main() -> None:
    """Train on a FASTA file, from the checkpoint if there is one. A token is the ASCII code of a residue's letter."""
    fasta = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("data") / "swissprot_2k.fasta.gz"
    steps = int(sys.argv[2]) if sys.argv[2:] else 40
    text = gzip.decompress(fasta.read_bytes()) if fasta.suffix == ".gz" else fasta.read_bytes()
    rows = [torch.tensor(list(b"".join(record.splitlines()[1:]))) for record in (b"\n" + text).split(b"\n>")[1:]]
    data = Source(rows, transform=partial(random_crop, length=128), fingerprint=fasta.name)
    order = EpochOrder(length=len(rows), seed=42)
    pipeline = Pipeline(order=order, sources=data, batch_size=8, seed=42, collate=pad_token_ids, batch_transform=_hide)
    batches = loader(pipeline)
    with random_torch_context(make_generator(42, "model")):
        embed = torch.nn.Embedding(128, 64)
        layer = torch.nn.TransformerEncoderLayer(64, nhead=4, dim_feedforward=256, dropout=0.0, batch_first=True)
        head = torch.nn.Linear(64, 128)
    model = torch.nn.ModuleList([embed, layer, head])  # dropout would need a random_torch_context in every step
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    checkpoint = Path("minimal.pt")
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        batches.load_state_dict(state["batches"])
    start = step_of(pipeline, batches.consumed_samples)
    print(f"{len(rows):,} proteins, {start} of {steps} steps done")
    for step, (ids, mask, labels) in zip(range(start + 1, steps + 1), batches, strict=False):
        logits = head(layer(embed(ids), src_key_padding_mask=~mask))
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 10 == 0 or step == steps:
            print(f"step {step:4}  loss {loss.item():.4f}", flush=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "batches": batches.state_dict()}
            write_atomically(checkpoint, partial(torch.save, state))


if __name__ == "__main__":
    _main()
