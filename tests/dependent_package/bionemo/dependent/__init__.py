"""A package of another distribution in the same namespace: it gets torch and Lightning by bionemo-core."""

import lightning
import torch

from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.data import EpochOrder

__all__ = ["BionemoTrainableModelConfig", "EpochOrder", "build_model", "lightning", "torch"]
