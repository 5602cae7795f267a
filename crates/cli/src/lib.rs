//! The ferrolite command: run, bench, inspect, compare and train .tflite models.
