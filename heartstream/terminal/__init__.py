"""What commands share at a terminal: exit codes, tables, progress, signals."""
