"""The evaluation of candidates and saved models, and the selection of the best candidate."""
