"""`heartstream outcomes`: risks compared with known outcomes."""
