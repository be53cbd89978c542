"""Whether we may ask: addresses, robots.txt, site-wide signals and the consent a page states."""
