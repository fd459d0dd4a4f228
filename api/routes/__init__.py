"""The gateway's own routes: predictions, status and API documentation."""
