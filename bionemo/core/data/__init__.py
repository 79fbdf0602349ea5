"""Module paths of bionemo-core 2.x, for code that was written for it. Nothing in this library imports them.

New code imports the successors: `bionemo.data.multi_epoch_dataset`, `bionemo.data.permute` and
`bionemo.data.resamplers`; better still, an order of `bionemo.data` in a `Pipeline`.
"""
