//! A TensorFlow Lite (LiteRT) interpreter in pure Rust.
