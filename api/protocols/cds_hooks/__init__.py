"""CDS Hooks 2.0: the risk of the patient whose record is opened, as cards in the electronic health record (EHR)."""
