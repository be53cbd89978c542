"""Evaluation: retrieval and similarity, each figure beside chance and with a 95 % interval."""
