"""Dead letters: reading them, showing them, and sending them back."""
