"""Captured bytes: WARC files written, read around damage, and taken over from other crawlers."""
