"""The module path of bionemo-core 2.x for the configurations of `bionemo.core.model.config`."""

from bionemo.core.model.config import BionemoModelConfig as BionemoModelConfig
from bionemo.core.model.config import BionemoTrainableModelConfig as BionemoTrainableModelConfig
from bionemo.core.model.config import Model as Model
from bionemo.core.model.config import ModelOutput as ModelOutput

__all__ = ["BionemoModelConfig", "BionemoTrainableModelConfig", "Model", "ModelOutput"]
