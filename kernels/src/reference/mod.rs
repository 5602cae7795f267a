//! Plain loops that say what a kernel must compute: the oracles of the kernels' tests.

pub mod float;
pub mod int8;
pub mod movement;
pub mod pool;
pub mod recurrent;
pub mod reduce;
pub mod resize;
