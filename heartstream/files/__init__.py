"""Scoring files: `heartstream score`, and what other commands read files with."""
