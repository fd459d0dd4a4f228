"""Pictures of the data and of the models: the same functions draw for the notebook, the docs and the model card."""
