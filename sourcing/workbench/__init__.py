"""Workbench: prompt packs and rules measured against gold documents, compared, and shown."""
