"""Reports as text, and the page that HTML reports share."""
