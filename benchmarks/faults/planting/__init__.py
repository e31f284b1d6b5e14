"""Faults and rewrites, each a function that edits one model and says which nodes are guilty."""
