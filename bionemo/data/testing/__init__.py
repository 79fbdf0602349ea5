"""Checks of laws for your own data sets and pipelines: call them in your tests."""

from bionemo.data.testing.reads import check_pure_reads, check_same_on_ranks

__all__ = ["check_pure_reads", "check_same_on_ranks"]
