"""A crawl looked at from outside: progress, metrics, coverage of fields, drift and alarms."""
