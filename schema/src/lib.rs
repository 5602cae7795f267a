//! FlatBuffers schema of .tflite files and its Rust binding.
