"""Feature tables as files: a summary of a valid one, and a draft of a new one from labelled data."""
