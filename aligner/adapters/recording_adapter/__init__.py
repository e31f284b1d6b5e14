"""Recordings: tensors that another program wrote, read as if a model had run."""
