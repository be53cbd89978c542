"""The formats answers come in: charsets, prose, JSON-LD, tables, sitemaps, and values made plain."""
