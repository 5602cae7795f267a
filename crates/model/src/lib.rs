//! Reading, verifying and writing .tflite models.
