"""One file per noun of the command line; the only place that prints, prompts or exits."""
