"""`heartstream demo`: real patients through a real broker, worker and gateway, with every record accounted for."""
