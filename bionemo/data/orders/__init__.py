"""Which sample comes at which position.

`order` is the protocol and the lookup; `epoch`, `block`, `resample`, `weighted` and `mixture` are the orders, and those
in `by_length` rearrange others by the lengths of samples. The shuffle's algorithm is `bionemo.data.permute`, the
mixture's is `interleave`.
"""
