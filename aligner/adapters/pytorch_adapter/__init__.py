"""Eager PyTorch: modules, what their forward calls, and runs with values put in place."""
