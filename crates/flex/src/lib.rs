//! TensorFlow operators that occur in training graphs, and TensorFlow checkpoints.
//!
//! A model converted with `SELECT_TF_OPS` carries operators that TensorFlow Lite lacks as custom operators whose names
//! start with `Flex`. [`TABLE`] has those that gradients, optimizers, recurrent loops and checkpoints are made of, each an
//! [`OpSpec`](ferrolite_ops::OpSpec) like the builtin ones; [`register`] adds them to a registry.

pub mod checkpoint;
pub mod families;
pub mod node_def;
pub mod weights;
pub mod wire;

pub use families::TABLE;

use ferrolite_ops::Registry;

/// Adds all operators of [`TABLE`].
pub fn register(registry: &mut Registry) {
    for spec in TABLE.iter().flat_map(|family| family.iter()) {
        registry.register(*spec);
    }
}
