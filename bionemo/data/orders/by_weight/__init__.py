"""Orders that draw by weight.

`mixture` interleaves several orders: `interleave` is its algorithm, `endings` what happens when one of them ends, and
`weights` makes its integer weights, also from fractions of tokens. `weighted` draws single samples.
"""
