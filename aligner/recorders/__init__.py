"""Recorders for programs that have no Python: a C++ header and a JavaScript module that write .safetensors."""
