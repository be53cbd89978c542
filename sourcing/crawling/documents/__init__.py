"""Captured answers become documents: read, cached between runs, completed by facts, joined into one table."""
