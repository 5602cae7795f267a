//! Random numbers: the Philox counter-based generator and the distributions made from it.

mod distributions;
mod philox;

pub use distributions::{multinomial, standard_normal, uniform};
pub use philox::Philox;
