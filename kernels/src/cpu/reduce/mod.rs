//! Reductions over any set of axes, and searches along one axis.

mod arg;
mod plan;
mod product;
mod reductions;
mod topk;

pub(crate) use plan::reduce_row;

pub use arg::{Extreme, arg_extreme};
pub use plan::{ReducePlan, reduce};
pub use product::quantized_product;
pub use reductions::{All, Any, MaxOf, Mean, MinOf, Product, QuantizedSum, Reduction, RescaledSum, Sum};
pub use topk::top_k;
