"""Folders in which frameworks keep settings of a user: out of reach of a confined process, and not the model's."""

HOME_VARIABLES = ("KERAS_HOME",)
"""Environment variables that name another folder for them."""
