//! GPU backend of Ferrolite over wgpu.
