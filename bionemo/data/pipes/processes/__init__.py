"""Worker processes: `reader` makes batches in one, `transfer` moves them out of it, and `workers` runs several."""
