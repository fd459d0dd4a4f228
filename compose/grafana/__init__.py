"""The Grafana dashboard, generated: `python -m compose.grafana`."""
