"""The model store that workers and gateways serve from, and adaptation."""
