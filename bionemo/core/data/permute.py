"""The module path of bionemo-core 2.x for `bionemo.data.permute`.

The permutations differ from those of 2.x, which are no permutations for lengths above 2**32.
"""

from bionemo.data.permute import permute

__all__ = ["permute"]
