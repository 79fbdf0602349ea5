"""Cells of AnnData files: `cell_rows` is the data set, `cell_file` one file of it."""
