"""TensorFlow: Keras models, SavedModels and functions, each as one frozen graph."""
