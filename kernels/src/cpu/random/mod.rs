//! Random numbers: the counter-based generators Philox and Threefry, and the distributions made from Philox.

mod distributions;
mod philox;
mod threefry;

pub use distributions::{multinomial, standard_normal, truncated_normal, uniform};
pub use philox::Philox;
pub use threefry::threefry;
