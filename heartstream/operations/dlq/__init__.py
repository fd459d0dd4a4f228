"""`heartstream dlq`: list, show and redrive dead letters."""
