"""The workshop: data, estimators, evaluation, export and tracking. It makes the model directory of all interfaces.

Private: `heartstream` is the public Python API.
"""
