"""Orders that draw by weight.

`mixture` interleaves several orders: `interleave` is its algorithm, `endings` what happens when one of them ends, and
`weights` makes its integer weights, also from fractions of tokens. The others draw the samples of one data set:
`weighted` with replacement, `weighted_epoch` without, and `proportional` with exact counts.
"""
