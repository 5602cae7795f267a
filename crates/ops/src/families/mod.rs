//! The table of operators, by family.
//!
//! A family is a module with its shape functions and lowerings and one `SPECS` list; adding it here registers it.

mod blocks;
mod complex;
mod concat_embeddings;
mod control;
mod creating;
mod custom;
mod diagonals;
mod elementwise;
mod gathering;
mod hashtable;
mod integers;
mod joining;
mod linear;
mod local_response;
mod lookup;
mod moving;
mod padding;
mod pooling;
mod random;
mod recurrent;
mod reductions;
mod repeating;
mod reshape;
mod resizing;
mod scattering;
mod searching;
mod segments;
mod slicing;
mod stablehlo;
mod suppression;
#[cfg(test)]
mod testing;
mod text;
pub(crate) mod turning;
mod variables;

use crate::spec::OpSpec;

pub use elementwise::{BYTE_TABLE, BYTE_TABLE_NAME};
pub use linear::Expanded;

/// Every operator, by family.
pub const TABLE: &[&[OpSpec]] = &[
    blocks::SPECS,
    complex::SPECS,
    concat_embeddings::SPECS,
    control::SPECS,
    creating::SPECS,
    custom::argmax_pool::SPECS,
    custom::arrays::SPECS,
    custom::attention::SPECS,
    custom::audio::SPECS,
    custom::detection::SPECS,
    custom::examples::SPECS,
    custom::gru::SPECS,
    custom::landmarks::SPECS,
    custom::lists::SPECS,
    custom::microfrontend::SPECS,
    custom::normalization::SPECS,
    custom::pool3d::SPECS,
    custom::roll::SPECS,
    custom::rotation::SPECS,
    custom::transpose_bias::SPECS,
    custom::verify::SPECS,
    custom::warp::SPECS,
    diagonals::SPECS,
    elementwise::activation::SPECS,
    elementwise::arithmetic::SPECS,
    elementwise::binary::SPECS,
    elementwise::cast::SPECS,
    elementwise::compare::SPECS,
    elementwise::cumulative::SPECS,
    elementwise::quantize::SPECS,
    elementwise::select::SPECS,
    elementwise::softmax::SPECS,
    elementwise::unary::SPECS,
    gathering::SPECS,
    hashtable::SPECS,
    joining::SPECS,
    linear::SPECS,
    local_response::SPECS,
    lookup::SPECS,
    padding::SPECS,
    pooling::SPECS,
    random::SPECS,
    recurrent::SPECS,
    reductions::SPECS,
    repeating::SPECS,
    reshape::SPECS,
    resizing::SPECS,
    scattering::SPECS,
    searching::SPECS,
    segments::SPECS,
    slicing::SPECS,
    suppression::SPECS,
    text::SPECS,
    stablehlo::choose::SPECS,
    stablehlo::compare::SPECS,
    stablehlo::convert::SPECS,
    stablehlo::convolution::SPECS,
    stablehlo::custom_call::SPECS,
    stablehlo::dot_general::SPECS,
    stablehlo::elementwise::SPECS,
    stablehlo::gather::SPECS,
    stablehlo::pad::SPECS,
    stablehlo::reduce::SPECS,
    stablehlo::reduce_window::SPECS,
    stablehlo::rng::SPECS,
    stablehlo::scatter::SPECS,
    stablehlo::shapes::SPECS,
    stablehlo::slices::SPECS,
    stablehlo::sort::SPECS,
    stablehlo::unary::SPECS,
    turning::SPECS,
    variables::SPECS,
];
