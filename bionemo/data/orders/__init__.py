"""Which sample comes at which position."""
