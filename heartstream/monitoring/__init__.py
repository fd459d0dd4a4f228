"""Monitoring of a running stream: drift, outcomes, champion against challenger, and workers."""
