"""Print the verdicts of a library as JSON: `python -m tests.peers grain`."""

import importlib
import json
import logging
import sys
import warnings

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    cases = importlib.import_module(f"tests.peers.with_{sys.argv[1]}").cases()
    print(json.dumps({name: run() for name, run in cases.items()}))  # noqa: T201
