"""Small pure functions on seeds, batches and dtypes: import them from their modules."""
