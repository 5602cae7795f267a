//! The table of operators, by family.
//!
//! A family is a module with its shape functions and lowerings and one `SPECS` list; adding it here registers it.

mod joining;
mod moving;
mod recurrent;
mod reshape;

use crate::spec::OpSpec;

/// Every operator, by family.
pub const TABLE: &[&[OpSpec]] = &[
    joining::SPECS,
    recurrent::SPECS,
    reshape::SPECS,
];
