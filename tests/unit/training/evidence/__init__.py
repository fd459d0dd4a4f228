"""Tests of evidence documents."""
