"""What a challenger makes of the records that a champion scored, and which of them was right."""
