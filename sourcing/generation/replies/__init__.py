"""What servers answer, read once from bytes: payloads, streams, errors, failures."""
