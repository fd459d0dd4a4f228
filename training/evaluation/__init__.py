"""How good the candidates are, and which is best."""
