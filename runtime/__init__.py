"""What a process needs to live: settings, events, logs, health. Knows no patients."""
