"""Tables made from replies: descriptions, rejected pieces, agreement, disagreements, verdicts of judges."""
