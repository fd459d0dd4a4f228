"""The demo: real patients through a real broker, a real worker and a real gateway, with every record accounted for."""
