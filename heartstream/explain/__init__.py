"""What `heartstream explain` says of a record."""
