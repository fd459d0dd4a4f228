"""What worker, gateway and command share of Kafka: client configuration, creating topics, reading ranges of offsets."""
