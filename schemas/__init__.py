"""The contract: everything that is on the wire, and nothing else."""
