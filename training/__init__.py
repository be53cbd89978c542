"""Training: from a dataset version to a model that knows which tracks sound alike and which words fit them."""
