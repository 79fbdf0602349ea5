"""Data on other machines: `shards` says what there is, `shard_cache` keeps what was fetched, `remote_rows` reads it."""
