"""The Batch API: planned calls handed over as shards of JSONL, waited for, collected."""
