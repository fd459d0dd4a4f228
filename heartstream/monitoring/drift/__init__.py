"""`heartstream drift`: records compared with the training patients of a model."""
