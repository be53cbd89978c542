"""Matching: documents × tracks → which document is about which recording, with the reasons and people's verdicts."""

from __future__ import annotations

from sourcing.matching.matching import match_documents, match_one

__all__ = ["match_documents", "match_one"]
