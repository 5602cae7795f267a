//! Compute kernels of Ferrolite: SIMD CPU kernels, reference loops and WGSL shaders.
