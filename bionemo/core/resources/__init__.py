"""Files that are downloaded once: `load(tag)` returns a path in a cache on disk that is never wrong.

Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     path = load("proteins/swissprot_2k", cache_dir=cache)
    ...     path.stat().st_size
    424115
"""

from bionemo.core.resources.limits import UnpackLimits as UnpackLimits
from bionemo.core.resources.loading import cached_path as cached_path
from bionemo.core.resources.loading import load as load
from bionemo.core.resources.loading import verify_cached as verify_cached
from bionemo.core.resources.pruning import Pruned as Pruned
from bionemo.core.resources.pruning import prune as prune
from bionemo.core.resources.reading import get_all_resources as get_all_resources
from bionemo.core.resources.resource import Resource as Resource

__all__ = [
    "Pruned",
    "Resource",
    "UnpackLimits",
    "cached_path",
    "get_all_resources",
    "load",
    "prune",
    "verify_cached",
]
