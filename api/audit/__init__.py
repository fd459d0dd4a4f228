"""The audit trail: who had which record scored, when, and with what result."""
