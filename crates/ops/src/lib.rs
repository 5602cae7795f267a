//! Operators of Ferrolite: shape inference and lowering to kernels.
