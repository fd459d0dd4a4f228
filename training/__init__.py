"""The workshop: data, estimators, evaluation, export and tracking. It makes the model directory that all doors serve."""
