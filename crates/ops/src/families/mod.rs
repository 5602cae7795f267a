//! The table of operators, by family.
//!
//! A family is a module with its shape functions and lowerings and one `SPECS` list; adding it here registers it.

mod blocks;
mod control;
mod creating;
mod diagonals;
mod elementwise;
mod gathering;
mod hashtable;
mod integers;
mod joining;
mod linear;
mod local_response;
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
mod slicing;
#[cfg(test)]
mod testing;
mod turning;
mod variables;

use crate::spec::OpSpec;

/// Every operator, by family.
pub const TABLE: &[&[OpSpec]] = &[
    blocks::SPECS,
    control::SPECS,
    creating::SPECS,
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
    slicing::SPECS,
    turning::SPECS,
    variables::SPECS,
];
