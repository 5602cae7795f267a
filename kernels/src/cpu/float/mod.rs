//! Matrix products and convolutions of 32-bit floats.
//!
//! * [`gemm`]: products with packed weights and of run-time matrices;
//! * [`conv`]: convolutions, transposed and depthwise ones;
//! * [`stored`]: weights of 32 or 16 bits that are to be packed;
//! * [`epilogue`]: activation and residual, applied while results are in registers.

#![allow(clippy::needless_range_loop, reason = "register tiles index several arrays by the same constants")]

pub mod conv;
pub mod epilogue;
pub mod gemm;
pub mod stored;
