"""Limits that keep one caller from starving the others: rate, memory, and time on the event loop."""
