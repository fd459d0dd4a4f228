"""The contract: everything that is on the wire, and nothing else.

Private: `heartstream` is the public Python API.
"""
