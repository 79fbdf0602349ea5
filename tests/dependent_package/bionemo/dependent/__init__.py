"""A package of another distribution in the same namespace, which gets torch and Lightning through bionemo-core.

It defines a model, its configuration and its data with public names only, and trains the model in four ways.
"""

import lightning
import torch

from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.data import EpochOrder

__all__ = ["BionemoTrainableModelConfig", "EpochOrder", "build_model", "lightning", "torch"]
