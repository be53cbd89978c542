"""Sourcing: from a catalogue and the open web to validated, versioned descriptions of tracks."""

__version__ = "0.1.0"
