"""A package of another distribution in the same namespace: it gets torch and Lightning by bionemo-core.

It has a model, its configuration, and its data, on nothing but public names, and trains them in three ways.
"""

import lightning
import torch

from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.data import EpochOrder

__all__ = ["BionemoTrainableModelConfig", "EpochOrder", "build_model", "lightning", "torch"]
