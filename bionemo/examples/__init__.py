"""Programs to run and to learn from: `python -m bionemo.examples.protein_mlm`."""
