//! The `ferrolite` command: run, measure, look into and compare `.tflite` models.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | success |
//! | 1 | a comparison beyond its tolerance |
//! | 2 | bad usage: arguments, or input files that do not fit the model |
//! | 3 | a bad or unsupported model |
//! | 4 | a failure while running |
//!
//! Results go to standard output, errors, one sentence first, to standard error.

mod args;
mod error;
mod inspect;
mod memory;
mod npz;
mod random;
mod stats;
mod strings;
mod table;
mod terminal;
