//! Compute shaders in WGSL, for GPU backends.
//!
//! All bind the same three buffers: the arena (0, read and written), constants (1, read), and the parameters of one
//! dispatch (2, uniform). Offsets in the parameters count elements, or vectors of four where their name ends in `4`.

/// A shader: its name in profiles and its source. The entry point is `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// Name.
    pub name: &'static str,
    /// WGSL source.
    pub source: &'static str,
    /// Whether the override constant `OP` chooses among several functions.
    pub has_op: bool,
}

macro_rules! shaders {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, op: $op:literal;)*) => {
        $($(#[$doc])* pub const $constant: Shader = Shader {
            name: $name,
            source: include_str!(concat!("../wgsl/", $name, ".wgsl")),
            has_op: $op,
        };)*

        /// Every shader.
        pub const ALL: &[Shader] = &[$($constant),*];
    };
}

shaders! {
    /// Convolutions and dense layers.
    CONV2D = "conv2d", op: false;
    /// Depthwise convolutions.
    DEPTHWISE = "depthwise", op: false;
    /// Pooling, and means over pictures.
    POOL = "pool", op: false;
    /// Two operands.
    BINARY = "binary", op: true;
    /// One operand.
    UNARY = "unary", op: true;
    /// Softmax.
    SOFTMAX = "softmax", op: false;
    /// Moving blocks.
    COPY = "copy", op: false;
}
