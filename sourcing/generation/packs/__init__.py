"""Prompt packs: loaded, checked, rendered in bounds, locked by hash."""
