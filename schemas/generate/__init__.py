"""JSON Schema, OpenAPI and AsyncAPI documents, generated from the definitions in `schemas`."""
