"""From prompt packs and documents to descriptions: plan, call, journal, ground, describe."""
