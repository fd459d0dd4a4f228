"""Everything in containers: the Dockerfile, compose, and the bill of materials of an image."""
