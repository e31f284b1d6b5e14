"""The public fault bench: planted faults, clean pairs, and how often the tool answers rightly."""
