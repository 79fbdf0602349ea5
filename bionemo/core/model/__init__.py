"""Model configurations and losses: import them from their modules."""
