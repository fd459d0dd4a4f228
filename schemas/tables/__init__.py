"""Feature tables: which fields a patient record has, what their values mean, and what the models predict."""
