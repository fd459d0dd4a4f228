"""Figures of the data and the models, for the notebook, the docs and the model card."""
