"""The module path of bionemo-core 2.x for `bionemo.core.padding`."""

from bionemo.core.padding import *  # noqa: F403 - all that it exports
from bionemo.core.padding import __all__ as __all__  # noqa: PLC0414 - as part of the interface
