"""The verbs of `crossmusim generate`."""
