"""What became of patients who were scored, against their risks: `heartstream outcomes`."""
