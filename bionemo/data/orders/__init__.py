"""Which sample comes at which position.

`order` is the protocol and the lookup; `epoch`, `block` and `resample` are orders over one data set. Those in
`by_weight` draw by weight, those in `by_cluster` by the clusters of samples. Those in `by_length` rearrange others by
the lengths of samples, `skip` and `planned_skip` leave out positions of others, and `epoch_batches` cuts others into
steps of one epoch each. The shuffle's algorithm is `bionemo.data.permute`, the mixture's is `by_weight.interleave`.
"""
