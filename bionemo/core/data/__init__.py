"""Module paths of bionemo-core 2.x, for code that was written for it. Nothing in this library imports them.

New code imports the successors: `bionemo.core.resources` for `load` and `resource`, and `bionemo.data` for the others.
Better still, it uses an order of `bionemo.data` in a `Pipeline`.
"""
