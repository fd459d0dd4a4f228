"""Laws of the workshop that need no other process."""
