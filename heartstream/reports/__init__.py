"""Text reports of train, evaluate and explain, and the page template of HTML reports."""
