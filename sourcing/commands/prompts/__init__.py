"""The commands on prompt packs."""
