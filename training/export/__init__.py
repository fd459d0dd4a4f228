"""Writes model directories, which workers and gateways load."""
