"""A reply held against its document: quotes, aspects, captions and leaks."""
