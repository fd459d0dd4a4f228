"""Operations on a stream and its models: dead letters, replay, verification, the model store."""
