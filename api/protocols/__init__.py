"""Adapters for other protocols: MLflow, the Open Inference Protocol and FHIR."""
