"""Which sample comes at which position.

`order` is the protocol and the lookup; `epoch`, `block`, `resample`, `weighted`, `mixture` and `length_grouped` are the
orders. The shuffle's algorithm is `bionemo.data.permute`, the mixture's is `interleave`.
"""
