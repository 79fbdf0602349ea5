"""Tables of Parquet and Arrow files: `table_rows` is the data set, `table_file` one file of it."""
