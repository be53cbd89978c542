"""Online runs: the calls of a job, sent concurrently, checked, followed up and resumed."""
