"""Batch mode: planned calls submitted as JSONL shards to the Batch API, waited for and collected."""
