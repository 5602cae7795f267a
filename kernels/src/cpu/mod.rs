//! CPU kernels by operator family.

pub mod attention;
pub mod detection;
pub mod elementwise;
pub mod fingerprint;
pub mod float;
pub mod gradient;
pub mod int8;
pub mod movement;
pub mod pool;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod resize;
pub mod signal;
pub mod volume;
