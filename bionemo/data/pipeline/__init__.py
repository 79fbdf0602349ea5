"""From positions to batches.

`pipeline` is the record. `steps` says where a step starts and ends, `assemble` reads its samples and makes the batch,
and `batch` is the batch at a step. `state` is the state of a loader, `record` a pipeline's JSON.
"""
