"""Traces of records and requests, sent to a collector. Off unless an endpoint is set.

`runtime.tracing.otlp`, the sole importer of opentelemetry, is loaded only where traces are switched on. A span's name
and attributes hold no patient's value or id, and no record's key.
"""
