"""Train a masked-language model on proteins: `python -m bionemo.examples.protein_mlm --help`."""

from importlib.util import find_spec

if find_spec("Bio") is None or find_spec("matplotlib") is None:
    _message = "the examples need Biopython and matplotlib: pip install 'bionemo-core[demo]'"
    raise ModuleNotFoundError(_message)
