"""How notebooks show records: `pieces` of HTML, and batches drawn by the `token_kinds` of their tokens."""
