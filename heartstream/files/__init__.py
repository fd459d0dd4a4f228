"""The file door: `heartstream score`."""
