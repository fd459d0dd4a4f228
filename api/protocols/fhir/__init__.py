"""FHIR R4: a Bundle of Observations in, a RiskAssessment out, by the one path of every interface."""
