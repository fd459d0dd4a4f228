"""`heartstream top`: what the workers of a group do now, read from their telemetry ports."""
