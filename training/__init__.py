"""Training: data, candidates, evaluation, export, MLflow tracking and reports. `pipeline.train` runs them in order.

Private: `heartstream` is the public Python API.
"""
