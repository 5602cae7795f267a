//! Choosing boxes among overlapping candidates.

mod greedy;
mod heap;
mod overlap;
mod suppression;

pub use greedy::greedy;
pub use overlap::{Corners, intersection_over_union};
pub use suppression::{Suppression, suppress};
