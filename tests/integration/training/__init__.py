"""Training with real servers, stores and processes."""
