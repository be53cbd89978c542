"""The verbs of `crossmusim crawl`."""
