"""The verbs of `crossmusim match`."""
