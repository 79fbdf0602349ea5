"""Orders that rearrange the samples of each window of a base order by their lengths.

`length_grouped` puts samples of similar length next to each other; `packed` and `token_budget` make the steps
themselves, out of the bins that `bins` packs. `windows` is what they share.
"""
