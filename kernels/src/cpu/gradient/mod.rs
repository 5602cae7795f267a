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
