"""Delivery tests: faults on real Kafka while numbered records flow, and an account of every record afterwards."""
