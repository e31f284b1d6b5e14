"""What a comparison costs beside loading both models and running each once."""
