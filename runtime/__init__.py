"""What every process needs: settings, events, logs, health. It knows nothing about patients.

Private: `heartstream` is the public Python API.
"""
