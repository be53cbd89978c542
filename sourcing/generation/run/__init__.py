"""Online calls: a job planned, sent many at a time, checked, followed up, resumed."""
