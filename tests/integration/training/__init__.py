"""Laws of the workshop with a real server, real stores and real processes."""
