"""Kafka code shared by worker, gateway and commands: client configuration, topic creation, reading offset ranges."""
