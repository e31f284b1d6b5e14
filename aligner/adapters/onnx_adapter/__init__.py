"""ONNX: files and protos, their graph, and runs of onnxruntime on the whole or on pieces."""
