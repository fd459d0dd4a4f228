"""Model directories: what workers and gateways load."""
