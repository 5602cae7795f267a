//! The table of operators, by family.
//!
//! A family is a module with its shape functions and lowerings and one `SPECS` list; adding it here registers it.

mod blocks;
mod control;
mod creating;
mod elementwise;
mod fixed;
mod hashtable;
mod joining;
mod linear;
mod moving;
mod padding;
mod pooling;
mod random;
mod recurrent;
mod reductions;
mod reshape;
mod resizing;
mod slicing;
mod turning;
mod variables;

use crate::spec::OpSpec;

/// Every operator, by family.
pub const TABLE: &[&[OpSpec]] = &[
    blocks::SPECS,
    control::SPECS,
    creating::SPECS,
    elementwise::activation::SPECS,
    elementwise::arithmetic::SPECS,
    elementwise::quantize::SPECS,
    elementwise::softmax::SPECS,
    elementwise::unary::SPECS,
    hashtable::SPECS,
    joining::SPECS,
    linear::SPECS,
    padding::SPECS,
    pooling::SPECS,
    random::SPECS,
    recurrent::SPECS,
    reductions::SPECS,
    reshape::SPECS,
    resizing::SPECS,
    slicing::SPECS,
    turning::SPECS,
    variables::SPECS,
];
