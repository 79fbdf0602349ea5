"""From positions to batches: data sets, the pipeline record, reading, state and lookup."""
