"""Door 2, HTTP: a small aiohttp gateway."""
