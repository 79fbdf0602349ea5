"""The module path of bionemo-core 2.x for its interfaces, of which 2.x has none here."""

__all__: tuple[str, ...] = ()
