"""FHIR R4 (4.0.1) over HTTP: codes and units of the fields, and the resources that are read and written."""
