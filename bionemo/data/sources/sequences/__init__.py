"""Sequences: `token_file` holds rows of tokens, `fasta_file` letters, `windows` says how long ones are cut."""
