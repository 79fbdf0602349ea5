"""Laws of loaders, whoever wrote them."""
