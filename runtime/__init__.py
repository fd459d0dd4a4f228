"""What a process needs to live: settings, events, logs, health. Knows no patients.

Private: `heartstream` is the public Python API.
"""
