"""How a running stream does: drift, outcomes, champion and challenger, workers."""
