"""Is the cause found? Random networks, one fault at a random place, three forms of the candidate."""
