"""Call journal in SQLite: calls written before sending, replies as received, runs, batch shards and budget."""
