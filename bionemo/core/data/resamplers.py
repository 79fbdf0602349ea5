"""The module path of bionemo-core 2.x for `bionemo.data.resamplers`."""

from bionemo.data.resamplers import *  # noqa: F403 - all that it exports
from bionemo.data.resamplers import __all__ as __all__  # noqa: PLC0414 - as part of the interface
