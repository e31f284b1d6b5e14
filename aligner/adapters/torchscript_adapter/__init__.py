"""TorchScript: archives, their graph, and runs of its own interpreter over the graph."""
