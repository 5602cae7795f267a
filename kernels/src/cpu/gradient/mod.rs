//! Gradients: what training graphs compute besides inference.
//!
//! Sums over positions run in an order that does not depend on the number of threads, as everywhere.

pub mod activation;
mod conv;
mod conv_depthwise;
mod conv_filter;
pub mod norm;
pub mod optimizer;
mod pool;
#[cfg(test)]
mod tests;

pub use conv::ConvInputGrad;
pub use conv_depthwise::{DepthwiseGradShape, depthwise_filter_grad, depthwise_input_grad};
pub use conv_filter::ConvFilterGrad;
pub use pool::{PoolShape, average_pool, average_pool_grad, max_pool, max_pool_grad};

use crate::isa::Isa;

/// The `lanes` numbers from `at` on, as many as a vector has or fewer.
#[inline(always)]
fn lanes_at<S: Isa>(isa: S, from: &[f32], at: usize, lanes: usize) -> S::F {
    if lanes == S::LANES { isa.load(&from[at..at + S::LANES]) } else { isa.load_part(&from[at..at + lanes]) }
}

/// Writes as many lanes as `to` has numbers.
#[inline(always)]
fn set_lanes<S: Isa>(isa: S, value: S::F, to: &mut [f32]) {
    if to.len() == S::LANES { isa.store(value, to) } else { isa.store_part(value, to) }
}
