"""The checked model of the transport (docs/design/model): every configuration, and what must come of it."""
