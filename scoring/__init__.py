"""The core: bytes in, outcomes out, a batch at a time. No network, clock, environment or framework.

Private: `heartstream` is the public Python API.
"""
