"""Recompute a node from its neutral kind, settings and parameters, with numpy alone."""
