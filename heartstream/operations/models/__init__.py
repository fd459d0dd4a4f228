"""The store of models that workers and gateways follow."""
