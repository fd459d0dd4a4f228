"""Evidence documents by the items of a standard, each answer taken from the files of a model directory."""
