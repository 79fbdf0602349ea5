"""From positions to batches.

`dataset` and `pipeline` are the records. `batch` says where a step starts and ends, `read` reads its samples, and
`assemble` makes the batch of them. `state` is the state of a loader, `record` its JSON; `lookup` is for debugging.
"""
