"""Other people's ways to do the same task. Each module runs as a process, in its peer's own environment."""
