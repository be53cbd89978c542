"""Matching: documents × tracks → which document is about which recording, with the reasons."""

from __future__ import annotations

from sourcing.matching.matching import match_documents

__all__ = ["match_documents"]
