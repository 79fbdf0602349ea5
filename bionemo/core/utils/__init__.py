"""Public module paths of bionemo-core 2.x: `batching_utils`, `dtype` and `random_utils`."""
