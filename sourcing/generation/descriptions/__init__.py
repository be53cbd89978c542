"""Replies become rows: descriptions, rejected pieces, agreement, disagreements, judgements."""
