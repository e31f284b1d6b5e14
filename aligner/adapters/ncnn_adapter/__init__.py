"""ncnn's models: .param and .bin."""
