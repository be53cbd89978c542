"""Servers' answers, read once from bytes: payloads, streams, errors, failures."""
