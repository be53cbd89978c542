"""The running crawl: tasks become requests, answers become WARC records and ledger states."""
