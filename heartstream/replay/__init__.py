"""Scoring records of the past again, into a topic of their own."""
