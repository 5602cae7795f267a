//! The operators, by family.

mod activations;
mod arrays;
mod bias;
mod checkpointing;
mod convolutions;
mod cross_entropy;
mod lists;
mod normalization;
mod optimizers;
mod pooling;
mod random;
mod resources;
mod scattering;
mod support;
mod text;
mod unary;

use ferrolite_ops::OpSpec;

/// Every operator, by family.
pub const TABLE: &[&[OpSpec]] = &[
    activations::SPECS,
    arrays::SPECS,
    bias::SPECS,
    checkpointing::SPECS,
    convolutions::SPECS,
    cross_entropy::SPECS,
    lists::SPECS,
    normalization::SPECS,
    optimizers::SPECS,
    pooling::SPECS,
    random::SPECS,
    resources::SPECS,
    scattering::SPECS,
    text::SPECS,
    unary::SPECS,
];
