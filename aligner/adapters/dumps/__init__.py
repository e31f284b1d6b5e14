"""What other programs write of a run: named tensors in their own formats, one file of code for each format."""
