"""Tries FHIR Bundles out: what the gateway reads of them, and their scores."""
