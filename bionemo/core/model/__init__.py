"""Model configurations, models as pure functions, and losses: import them from their modules."""
