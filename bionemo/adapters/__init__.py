"""The roof: thin adapters to the frameworks that train. Nothing below imports them; import each from its module."""
