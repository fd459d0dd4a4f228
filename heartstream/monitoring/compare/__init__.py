"""`heartstream compare`: scores of champion and challenger for the same records."""
