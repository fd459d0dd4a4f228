"""Delivery, proved: faults on real Kafka while numbered records flow, and an account of every one afterwards."""
