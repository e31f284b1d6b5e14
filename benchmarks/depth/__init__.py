"""How rounding grows with depth while no node errs."""
