"""Records against the training patients of a model: `heartstream drift`."""
