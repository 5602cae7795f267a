//! What is done to a float result before it is stored, while it still is in registers.

use core::mem::MaybeUninit;

use crate::cpu::elementwise::math::{Function, Gelu, GeluTanh, Sigmoid, Tanh};
use crate::isa::{Isa, MAX_LANES};

/// The most vectors a tile has.
const MOST_VECTORS: usize = 28;

/// A function applied to every element.
#[derive(Copy, Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// The value held to `min..=max`. NaN stays NaN.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `x * clamp(x / 6 + 1/2, 0, 1)`
    HardSwish,
    /// `x` where positive, else `alpha * x`.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x / (1 + e^-x)`
    Swish,
    /// `tanh x`
    Tanh,
    /// `x Φ(x)` with the standard normal distribution function, or its approximation by `tanh`.
    Gelu {
        /// Whether it is the approximation.
        approximate: bool,
    },
}

impl Activation {
    /// `max(x, 0)`
    pub const RELU: Self = Self::Clamp { min: 0.0, max: f32::INFINITY };
    /// `x` held to `0..=6`.
    pub const RELU6: Self = Self::Clamp { min: 0.0, max: 6.0 };
    /// `x` held to `-1..=1`.
    pub const RELU_N1_TO_1: Self = Self::Clamp { min: -1.0, max: 1.0 };

    /// The function of one value, as the vector form computes it up to rounding of the fused steps.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Clamp { min, max } => {
                if x < min {
                    min
                } else if x > max {
                    max
                } else {
                    x
                }
            }
            Self::HardSwish => x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0),
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Swish => x / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
            Self::Gelu { approximate: false } => 0.5 * x * libm::erfcf(-x * core::f32::consts::FRAC_1_SQRT_2),
            Self::Gelu { approximate: true } => {
                let scale = core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::FRAC_1_SQRT_2;
                0.5 * x * (1.0 + (scale * (x + 0.044_715 * x * x * x)).tanh())
            }
        }
    }

    /// Whether it takes too many registers to be applied beside a tile of sums: then [`Activation::follow`] stores the tile.
    #[inline(always)]
    pub(super) fn follows(self) -> bool {
        matches!(self, Self::Sigmoid | Self::Swish | Self::Tanh | Self::Gelu { .. })
    }

    /// Applies what [`Activation::apply`] leaves to do and stores `len` values at each of `rows`: those of `N` vectors, the
    /// last of which may be a part.
    ///
    /// The vectors wait in memory of their own, not where they go: a part of a vector that was just stored cannot be read
    /// until it has arrived there.
    ///
    /// # Safety
    /// There must be no more than `M` rows, each valid for writing `len` values, which are at most `N` vectors.
    #[inline(always)]
    pub(super) unsafe fn follow<S: Isa, const M: usize, const N: usize>(
        self,
        isa: S,
        values: &[[S::F; N]; M],
        rows: impl Iterator<Item = *mut f32>,
        len: usize,
    ) {
        let mut waiting = [const { MaybeUninit::<f32>::uninit() }; MOST_VECTORS * MAX_LANES];
        assert!(M * N <= MOST_VECTORS);
        let waiting: *mut f32 = waiting.as_mut_ptr().cast();
        for (m, values) in values.iter().enumerate() {
            for (v, &value) in values.iter().enumerate() {
                // SAFETY: there is room for `M * N` vectors.
                unsafe { isa.store_ptr(value, waiting.add((m * N + v) * S::LANES)) };
            }
        }
        for (m, row) in rows.enumerate() {
            for at in (0..len).step_by(S::LANES) {
                let n = (len - at).min(S::LANES);
                // SAFETY: the vector was written above, and `n` values from `at` on lie within the row.
                unsafe {
                    let x = isa.load_ptr(waiting.add(m * N * S::LANES + at));
                    let y = match self {
                        Self::Sigmoid => Sigmoid.eval(isa, x),
                        Self::Swish => isa.mul(x, Sigmoid.eval(isa, x)),
                        Self::Tanh => Tanh.eval(isa, x),
                        Self::Gelu { approximate: false } => Gelu.eval(isa, x),
                        Self::Gelu { approximate: true } => GeluTanh.eval(isa, x),
                        _ => x,
                    };
                    let to = row.add(at);
                    if n == S::LANES { isa.store_ptr(y, to) } else { isa.store_ptr_part(y, to, n) }
                }
            }
        }
    }

    /// The function of every lane of an array of vectors; the choice is made once for all. Functions that
    /// `Activation::follow` applies are left out.
    #[inline(always)]
    pub fn apply<S: Isa, const M: usize, const N: usize>(self, isa: S, values: &mut [[S::F; N]; M]) {
        match self {
            Self::None | Self::Sigmoid | Self::Swish | Self::Tanh | Self::Gelu { .. } => {}
            Self::Clamp { min, max } => {
                let (min, max) = (isa.splat(min), isa.splat(max));
                for row in values {
                    for x in row {
                        *x = isa.clamp(*x, min, max);
                    }
                }
            }
            Self::HardSwish => {
                let (sixth, half) = (isa.splat(1.0 / 6.0), isa.splat(0.5));
                let (zero, one) = (isa.zero(), isa.splat(1.0));
                for row in values {
                    for x in row {
                        *x = isa.mul(*x, isa.clamp(isa.fma(*x, sixth, half), zero, one));
                    }
                }
            }
            Self::LeakyRelu { alpha } => {
                let (alpha, zero) = (isa.splat(alpha), isa.zero());
                for row in values {
                    for x in row {
                        *x = isa.select(isa.lt(*x, zero), isa.mul(*x, alpha), *x);
                    }
                }
            }
        }
    }
}

/// The last steps of a float kernel: `activation(value + residual)`. The bias belongs to the packed weights.
#[derive(Copy, Clone, Debug, Default)]
pub struct Epilogue<'a> {
    /// Applied last.
    pub activation: Activation,
    /// Added before the activation: a tensor laid out exactly like the output.
    pub residual: Option<&'a [f32]>,
}

impl Epilogue<'static> {
    /// No residual.
    pub const fn new(activation: Activation) -> Self {
        Self { activation, residual: None }
    }
}

impl From<Activation> for Epilogue<'static> {
    fn from(activation: Activation) -> Self {
        Self::new(activation)
    }
}
