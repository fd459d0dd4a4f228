"""Interface 1, Kafka: a Faust agent on a librdkafka transport.

Private: `heartstream` is the public Python API.
"""
