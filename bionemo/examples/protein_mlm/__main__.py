"""The command `python -m bionemo.examples.protein_mlm`."""

import sys

from bionemo.examples.protein_mlm.program import main

if __name__ == "__main__":
    sys.exit(main())
