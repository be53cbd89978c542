"""What words mean: folding, stems, facets, lyrics, negation, opposites, entailment."""
