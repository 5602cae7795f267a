//! Steps of optimizers, in one pass over a variable, its slots and its gradient, in place.
//!
//! The formulas are those of TensorFlow's `ResourceApply…` operators. All slices of a step have the variable's length.

use crate::isa::{Cpu, Isa, Kernel};

/// One rule with its hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// `var -= lr g`
    GradientDescent {
        /// Learning rate.
        lr: f32,
    },
    /// `accum = momentum accum + g; var -= lr accum`, or with Nesterov `var -= lr (g + momentum accum)`. Slots: accum.
    Momentum {
        /// Learning rate.
        lr: f32,
        /// Decay of the accumulator.
        momentum: f32,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// `accum = momentum accum - lr g; var += accum`, or with Nesterov `var += momentum accum - lr g`. Slots: accum.
    KerasMomentum {
        /// Learning rate.
        lr: f32,
        /// Decay of the accumulator.
        momentum: f32,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// Kingma and Ba, "Adam" (2015); `alpha` is `lr sqrt(1 - beta2^t) / (1 - beta1^t)`. Slots: m, v.
    Adam {
        /// Corrected learning rate.
        alpha: f32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// Adam that divides by the greatest second moment so far (Reddi et al., 2018). Slots: m, v, greatest v.
    AmsGrad {
        /// Corrected learning rate.
        alpha: f32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// Adam with the infinity norm; `alpha` is `lr / (1 - beta1^t)`. Slots: m, v.
    AdaMax {
        /// Corrected learning rate.
        alpha: f32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the norm.
        beta2: f32,
        /// Added to the norm.
        epsilon: f32,
    },
    /// `accum += g²; var -= lr g / (sqrt(accum) + epsilon)` (Duchi et al., 2011). Slots: accum.
    Adagrad {
        /// Learning rate.
        lr: f32,
        /// Added to the root.
        epsilon: f32,
        /// Whether the accumulator grows.
        update: bool,
    },
    /// Zeiler, "ADADELTA" (2012). Slots: accum, accum of updates.
    Adadelta {
        /// Learning rate.
        lr: f32,
        /// Decay of both accumulators.
        rho: f32,
        /// Added under the roots.
        epsilon: f32,
    },
    /// `ms += (g² - ms)(1 - rho); mom = momentum mom + lr g / sqrt(ms + epsilon); var -= mom`. Slots: ms, mom.
    RmsProp {
        /// Learning rate.
        lr: f32,
        /// Decay of the mean square.
        rho: f32,
        /// Decay of the momentum.
        momentum: f32,
        /// Added under the root.
        epsilon: f32,
    },
    /// The same around the mean gradient. Slots: mg, ms, mom.
    CenteredRmsProp {
        /// Learning rate.
        lr: f32,
        /// Decay of the means.
        rho: f32,
        /// Decay of the momentum.
        momentum: f32,
        /// Added under the root.
        epsilon: f32,
    },
    /// McMahan et al., "Ad Click Prediction" (2013). Slots: accum, linear.
    Ftrl {
        /// Learning rate.
        lr: f32,
        /// Weight of the absolute value.
        l1: f32,
        /// Weight of the square.
        l2: f32,
        /// Weight of the square that only shrinks the gradient.
        shrinkage: f32,
        /// Exponent of the accumulator, at most zero.
        power: f32,
    },
    /// `m = beta m + (1 - beta) g; var -= lr sign(g) exp(decay sign(g) sign(m))`. Slots: m.
    PowerSign {
        /// Learning rate.
        lr: f32,
        /// Base of the power, as its logarithm.
        log_base: f32,
        /// Decay of the sign.
        decay: f32,
        /// Decay of the moment.
        beta: f32,
    },
    /// `m = beta m + (1 - beta) g; var -= lr (alpha + decay sign(g) sign(m)) g`. Slots: m.
    AddSign {
        /// Learning rate.
        lr: f32,
        /// What is added to the sign.
        alpha: f32,
        /// Decay of the sign.
        decay: f32,
        /// Decay of the moment.
        beta: f32,
    },
    /// Gradient descent followed by the proximal step of `l1 |var| + l2/2 var²`.
    ProximalGradientDescent {
        /// Learning rate.
        lr: f32,
        /// Weight of the absolute value.
        l1: f32,
        /// Weight of the square.
        l2: f32,
    },
    /// Adagrad followed by the proximal step. Slots: accum.
    ProximalAdagrad {
        /// Learning rate.
        lr: f32,
        /// Weight of the absolute value.
        l1: f32,
        /// Weight of the square.
        l2: f32,
    },
}

impl Rule {
    /// How many slots the rule keeps besides the variable.
    pub const fn slots(&self) -> usize {
        match self {
            Self::GradientDescent { .. } | Self::ProximalGradientDescent { .. } => 0,
            Self::Momentum { .. }
            | Self::KerasMomentum { .. }
            | Self::Adagrad { .. }
            | Self::PowerSign { .. }
            | Self::AddSign { .. }
            | Self::ProximalAdagrad { .. } => 1,
            Self::Adam { .. }
            | Self::AdaMax { .. }
            | Self::Adadelta { .. }
            | Self::RmsProp { .. }
            | Self::Ftrl { .. } => 2,
            Self::AmsGrad { .. } | Self::CenteredRmsProp { .. } => 3,
        }
    }

    /// Takes a step. Slots that the rule does not have may be empty.
    ///
    /// # Panics
    /// When a slice that the rule uses is not as long as the variable.
    pub fn step(self, cpu: Cpu, variable: &mut [f32], slots: [&mut [f32]; 3], gradient: &[f32]) {
        assert!(gradient.len() == variable.len(), "a gradient per element");
        assert!(slots[..self.slots()].iter().all(|s| s.len() == variable.len()), "a slot per element");
        cpu.dispatch(Step { rule: self, variable, slots, gradient });
    }
}

struct Step<'a> {
    rule: Rule,
    variable: &'a mut [f32],
    slots: [&'a mut [f32]; 3],
    gradient: &'a [f32],
}

fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// The minimum of `(x - at)² / (2 lr) + l1 |x| + l2/2 x²`.
fn proximal(at: f32, lr: f32, l1: f32, l2: f32) -> f32 {
    sign(at) * (at.abs() - lr * l1.max(0.0)).max(0.0) / (1.0 + l2 * lr)
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { rule, variable, slots: [a, b, c], gradient } = self;
        /// A loop over the variable, the gradient and as many slots as are named.
        macro_rules! each {
            (|$var:ident, $g:ident| $body:expr) => {
                for ($var, &$g) in variable.iter_mut().zip(gradient) {
                    $body
                }
            };
            (|$var:ident, $g:ident, $a:ident| $body:expr) => {
                for (($var, &$g), $a) in variable.iter_mut().zip(gradient).zip(a.iter_mut()) {
                    $body
                }
            };
            (|$var:ident, $g:ident, $a:ident, $b:ident| $body:expr) => {
                for ((($var, &$g), $a), $b) in
                    variable.iter_mut().zip(gradient).zip(a.iter_mut()).zip(b.iter_mut())
                {
                    $body
                }
            };
            (|$var:ident, $g:ident, $a:ident, $b:ident, $c:ident| $body:expr) => {
                for (((($var, &$g), $a), $b), $c) in
                    variable.iter_mut().zip(gradient).zip(a.iter_mut()).zip(b.iter_mut()).zip(c.iter_mut())
                {
                    $body
                }
            };
        }
        match rule {
            Rule::GradientDescent { lr } => each!(|v, g| *v -= lr * g),
            Rule::Momentum { lr, momentum, nesterov } => each!(|v, g, a| {
                *a = *a * momentum + g;
                *v -= if nesterov { g * lr + *a * momentum * lr } else { *a * lr };
            }),
            Rule::KerasMomentum { lr, momentum, nesterov } => each!(|v, g, a| {
                *a = *a * momentum - g * lr;
                *v += if nesterov { *a * momentum - g * lr } else { *a };
            }),
            Rule::Adam { alpha, beta1, beta2, epsilon, nesterov } => each!(|v, g, m, s| {
                *m += (g - *m) * (1.0 - beta1);
                *s += (g * g - *s) * (1.0 - beta2);
                let up = if nesterov { g * (1.0 - beta1) + beta1 * *m } else { *m };
                *v -= up * alpha / (s.sqrt() + epsilon);
            }),
            Rule::AmsGrad { alpha, beta1, beta2, epsilon } => each!(|v, g, m, s, top| {
                *m += (g - *m) * (1.0 - beta1);
                *s += (g * g - *s) * (1.0 - beta2);
                *top = top.max(*s);
                *v -= *m * alpha / (top.sqrt() + epsilon);
            }),
            Rule::AdaMax { alpha, beta1, beta2, epsilon } => each!(|v, g, m, n| {
                *m += (g - *m) * (1.0 - beta1);
                *n = (beta2 * *n).max(g.abs());
                *v -= alpha * *m / (*n + epsilon);
            }),
            Rule::Adagrad { lr, epsilon, update } => each!(|v, g, a| {
                if update {
                    *a += g * g;
                }
                *v -= lr * g / (a.sqrt() + epsilon);
            }),
            Rule::Adadelta { lr, rho, epsilon } => each!(|v, g, a, u| {
                *a = *a * rho + g * g * (1.0 - rho);
                let update = (*u + epsilon).sqrt() / (*a + epsilon).sqrt() * g;
                *v -= update * lr;
                *u = *u * rho + update * update * (1.0 - rho);
            }),
            Rule::RmsProp { lr, rho, momentum, epsilon } => each!(|v, g, s, m| {
                *s += (g * g - *s) * (1.0 - rho);
                *m = *m * momentum + g * lr / (*s + epsilon).sqrt();
                *v -= *m;
            }),
            Rule::CenteredRmsProp { lr, rho, momentum, epsilon } => each!(|v, g, mean, s, m| {
                *s += (g * g - *s) * (1.0 - rho);
                *mean += (g - *mean) * (1.0 - rho);
                *m = *m * momentum + g * lr / (*s - *mean * *mean + epsilon).sqrt();
                *v -= *m;
            }),
            Rule::Ftrl { lr, l1, l2, shrinkage, power } => each!(|v, g, a, linear| {
                let shrunk = g + 2.0 * shrinkage * *v;
                let grown = *a + g * g;
                let root = |x: f32| if power == -0.5 { x.sqrt() } else { libm::powf(x, -power) };
                *linear += shrunk - (root(grown) - root(*a)) / lr * *v;
                let quadratic = root(grown) / lr + 2.0 * l2;
                *v = if linear.abs() > l1 { (sign(*linear) * l1 - *linear) / quadratic } else { 0.0 };
                *a = grown;
            }),
            Rule::PowerSign { lr, log_base, decay, beta } => each!(|v, g, m| {
                *m = *m * beta + g * (1.0 - beta);
                *v -= lr * libm::expf(log_base * decay * sign(g) * sign(*m)) * g;
            }),
            Rule::AddSign { lr, alpha, decay, beta } => each!(|v, g, m| {
                *m = *m * beta + g * (1.0 - beta);
                *v -= lr * (alpha + decay * sign(g) * sign(*m)) * g;
            }),
            Rule::ProximalGradientDescent { lr, l1, l2 } => {
                each!(|v, g| *v = proximal(*v - lr * g, lr, l1, l2))
            }
            Rule::ProximalAdagrad { lr, l1, l2 } => each!(|v, g, a| {
                *a += g * g;
                let lr = lr / a.sqrt();
                *v = proximal(*v - lr * g, lr, l1, l2);
            }),
        }
    }
}
