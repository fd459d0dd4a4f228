"""Work on a running stream: dead letters, replay, verification, the model store."""
