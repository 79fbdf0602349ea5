"""Programs to run and to copy: `minimal`, `protein_mlm` and `protein_gpt_megatron`."""
