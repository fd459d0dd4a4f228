"""CDS Hooks 2.0: what electronic health records (EHRs) send and get."""
