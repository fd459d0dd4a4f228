"""Proving old scores: the record is read again, scored again, and compared byte by byte."""
