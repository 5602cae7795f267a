//! CPU kernels by operator family.

pub mod movement;
