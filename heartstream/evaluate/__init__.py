"""What `heartstream evaluate` says."""
