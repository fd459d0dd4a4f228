"""Training without other processes."""
