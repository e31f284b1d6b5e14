"""What must hold for any two models, over seeds: violations counted by property."""
