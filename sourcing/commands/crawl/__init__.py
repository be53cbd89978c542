"""`crossmusim crawl`: a verb or two to a module."""
