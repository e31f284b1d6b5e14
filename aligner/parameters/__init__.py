"""What a stored weight is: its canonical form, what folding makes of it, its fingerprint, its relation to another."""
