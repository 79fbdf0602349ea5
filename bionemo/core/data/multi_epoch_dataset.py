"""The module path of bionemo-core 2.x for `bionemo.data.multi_epoch_dataset`."""

from bionemo.data.multi_epoch_dataset import *  # noqa: F403 - all that it exports
from bionemo.data.multi_epoch_dataset import __all__ as __all__  # noqa: PLC0414 - as part of the interface
