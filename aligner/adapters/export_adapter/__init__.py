"""torch.export: archives and live exported programs."""
