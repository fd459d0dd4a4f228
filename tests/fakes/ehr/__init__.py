"""A small electronic health record (EHR): a page that shows cards, and the FHIR server of its patients."""
