"""The model card, and the generated pages and pictures of the docs."""
