"""Crawling: what the web answered - a task ledger, WARC files, and documents read from them."""
