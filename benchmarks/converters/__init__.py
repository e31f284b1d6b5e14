"""A converter simulator: random networks, rewritten without changing what they mean, with and without one fault."""
