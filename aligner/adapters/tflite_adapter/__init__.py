"""TFLite: flatbuffers, their graph, and runs of the interpreter with its outputs re-pointed."""
