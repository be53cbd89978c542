"""`crossmusim generate`: calls planned, made, handed over in batches and read."""
