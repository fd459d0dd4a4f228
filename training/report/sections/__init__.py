"""Sections of the model card."""
