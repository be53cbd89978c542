"""MediaWiki and Wikibase: wikitext, infoboxes, items, and the first sentences of articles by language."""
