"""Live statistics of the stream, as server-sent events."""
