"""Every runtime against every other: clean pairs, and faults planted before one side was converted."""
