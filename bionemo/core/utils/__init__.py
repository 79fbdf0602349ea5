"""Public module paths of bionemo-core 2.x: `batching_utils`, `dtype`, `dtypes`, `random_utils`, `subprocess_utils`."""
