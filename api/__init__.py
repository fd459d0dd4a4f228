"""Interface 2, HTTP: a small aiohttp gateway.

Private: `heartstream` is the public Python API.
"""
