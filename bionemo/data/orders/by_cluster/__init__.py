"""Orders over the clusters of a data set, or other groups of samples, such as cell types.

`cluster_table` says which samples are in which cluster. `clusters` reads one member of each at a time, `balanced` each
sample once per epoch, with a given fraction for each group.
"""
