"""Data sets, and how samples of them are read.

`dataset` says what a data set is, `indexing` how it is indexed, `functions` how a user's functions are called; `read`
reads samples. `maps` are data sets made of others.
"""
