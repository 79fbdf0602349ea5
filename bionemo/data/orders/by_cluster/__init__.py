"""Orders over the clusters of a data set: `cluster_table` says which samples are in which, `clusters` is the order."""
