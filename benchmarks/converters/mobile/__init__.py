"""Pairs with a TFLite side, made by the tools that people use: onnx2tf, the TensorFlow converter, tf2onnx."""
