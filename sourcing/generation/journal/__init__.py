"""Durable calls: every call and reply in SQLite from before it is sent."""
