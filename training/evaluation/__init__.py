"""Evaluation: retrieval and similarity beside their chance, with intervals, so that no number stands alone."""
