"""Laws for your own functions, orders, data sets, collators and loaders: call them in your tests.

`bionemo.data.testing.strategies` has hypothesis strategies for what they take; it needs the extra `testing`.
"""

from bionemo.data.testing.batches import assert_batch_invariant, assert_collate_accepts_empty
from bionemo.data.testing.datasets import assert_megatron_compatible, assert_worker_safe
from bionemo.data.testing.functions import assert_bijection, assert_pure
from bionemo.data.testing.loaders.adapt import AdaptedLoader, ReplayedLoader, Resumable, adapt, replayed
from bionemo.data.testing.loaders.coverage import assert_epochs_differ, assert_exact_coverage
from bionemo.data.testing.loaders.draws import assert_ranks_draw_differently
from bionemo.data.testing.loaders.other_ranks import assert_resumes_on_other_ranks
from bionemo.data.testing.loaders.resume import assert_resumes_exactly
from bionemo.data.testing.orders import assert_order
from bionemo.data.testing.reads import check_pure_reads, check_same_on_ranks

__all__ = [
    "AdaptedLoader",
    "ReplayedLoader",
    "Resumable",
    "adapt",
    "assert_batch_invariant",
    "assert_bijection",
    "assert_collate_accepts_empty",
    "assert_epochs_differ",
    "assert_exact_coverage",
    "assert_megatron_compatible",
    "assert_order",
    "assert_pure",
    "assert_ranks_draw_differently",
    "assert_resumes_exactly",
    "assert_resumes_on_other_ranks",
    "assert_worker_safe",
    "check_pure_reads",
    "check_same_on_ranks",
    "replayed",
]
