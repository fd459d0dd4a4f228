"""`heartstream top`: live statistics of workers, from their telemetry ports."""
