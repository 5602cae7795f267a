//! Functions of complex numbers.

use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::element::{Complex64, Complex128, Element};

/// A float that the parts of a complex number are.
pub(super) trait Part:
    Element
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The number nearest to `x`.
    fn of(x: f64) -> Self;
    /// The natural exponential.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// Sine and cosine.
    fn sin_cos(self) -> (Self, Self);
    /// Hyperbolic sine.
    fn sinh(self) -> Self;
    /// Hyperbolic cosine.
    fn cosh(self) -> Self;
    /// The length of the vector `(self, other)`.
    fn hypot(self, other: Self) -> Self;
    /// The angle of the vector `(x, self)`.
    fn angle(self, x: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
}

macro_rules! parts {
    ($($T:ty),*) => {$(
        impl Part for $T {
            fn of(x: f64) -> Self {
                x as $T
            }
            fn exp(self) -> Self {
                <$T>::exp(self)
            }
            fn ln(self) -> Self {
                <$T>::ln(self)
            }
            fn sin_cos(self) -> (Self, Self) {
                <$T>::sin_cos(self)
            }
            fn sinh(self) -> Self {
                <$T>::sinh(self)
            }
            fn cosh(self) -> Self {
                <$T>::cosh(self)
            }
            fn hypot(self, other: Self) -> Self {
                <$T>::hypot(self, other)
            }
            fn angle(self, x: Self) -> Self {
                <$T>::atan2(self, x)
            }
            fn abs(self) -> Self {
                <$T>::abs(self)
            }
        }
    )*};
}

parts!(f32, f64);

/// Complex numbers with parts of a float type.
pub(super) trait Complex: Element {
    /// The parts.
    type Part: Part;

    /// Real and imaginary part.
    fn parts(self) -> (Self::Part, Self::Part);
    /// The number with these parts.
    fn new(re: Self::Part, im: Self::Part) -> Self;

    /// The distance from zero.
    fn length(self) -> Self::Part {
        let (re, im) = self.parts();
        re.hypot(im)
    }

    /// The number with the opposite sign.
    fn opposite(self) -> Self {
        let (re, im) = self.parts();
        Self::new(-re, -im)
    }

    /// The product.
    #[inline(always)]
    fn product(self, other: Self) -> Self {
        let ((a, b), (c, d)) = (self.parts(), other.parts());
        Self::new(a * c - b * d, a * d + b * c)
    }

    /// The quotient, by Smith's algorithm, which divides by the larger part first so that nothing overflows early
    /// (R. L. Smith, "Algorithm 116: Complex division", 1962).
    fn quotient(self, other: Self) -> Self {
        let ((a, b), (c, d)) = (self.parts(), other.parts());
        if c.abs() >= d.abs() {
            let ratio = d / c;
            let scale = c + d * ratio;
            // A divisor of zero divides both parts, as it would a float.
            let ratio = if d == Self::Part::of(0.0) { d } else { ratio };
            let scale = if d == Self::Part::of(0.0) { c } else { scale };
            Self::new((a + b * ratio) / scale, (b - a * ratio) / scale)
        } else {
            let ratio = c / d;
            let scale = c * ratio + d;
            Self::new((a * ratio + b) / scale, (b * ratio - a) / scale)
        }
    }

    /// `e` to this power.
    fn exponential(self) -> Self {
        let (re, im) = self.parts();
        let (scale, (sin, cos)) = (re.exp(), im.sin_cos());
        Self::new(scale * cos, scale * sin)
    }

    /// The principal natural logarithm.
    fn logarithm(self) -> Self {
        let (re, im) = self.parts();
        Self::new(self.length().ln(), im.angle(re))
    }

    /// The cosine.
    fn cosine(self) -> Self {
        let (re, im) = self.parts();
        let (sin, cos) = re.sin_cos();
        Self::new(cos * im.cosh(), -(sin * im.sinh()))
    }

    /// The hyperbolic tangent.
    fn hyperbolic_tangent(self) -> Self {
        let (re, im) = self.parts();
        let two = Self::Part::of(2.0);
        if (re + re).abs() > Self::Part::of(80.0) {
            // The exponentials would overflow; the quotient has its limit long before.
            let sign = if re < Self::Part::of(0.0) { -1.0 } else { 1.0 };
            return Self::new(Self::Part::of(sign), Self::Part::of(0.0));
        }
        let (sin, cos) = (two * im).sin_cos();
        let scale = (two * re).cosh() + cos;
        Self::new((two * re).sinh() / scale, sin / scale)
    }

    /// `1 / (1 + e^-x)`.
    fn sigmoid(self) -> Self {
        let (re, im) = self.opposite().exponential().parts();
        let one = Self::Part::of(1.0);
        Self::new(one, Self::Part::of(0.0)).quotient(Self::new(one + re, im))
    }

    /// The principal value of this number to a power.
    fn to_power(self, exponent: Self) -> Self {
        let zero = Self::Part::of(0.0);
        if exponent.parts() == (zero, zero) {
            return Self::new(Self::Part::of(1.0), zero);
        }
        if self.parts() == (zero, zero) {
            return Self::new(zero, zero);
        }
        self.logarithm().product(exponent).exponential()
    }

    /// The principal value of this number to a real power.
    fn to_real_power(self, exponent: f64) -> Self {
        let (re, im) = self.parts();
        let (length, angle) = (self.length(), im.angle(re));
        let exponent = Self::Part::of(exponent);
        let (scale, (sin, cos)) = ((length.ln() * exponent).exp(), (angle * exponent).sin_cos());
        Self::new(scale * cos, scale * sin)
    }
}

macro_rules! complex {
    ($($T:ident of $Part:ty),*) => {$(
        impl Complex for $T {
            type Part = $Part;
            #[inline(always)]
            fn parts(self) -> (Self::Part, Self::Part) {
                (self.re, self.im)
            }
            #[inline(always)]
            fn new(re: Self::Part, im: Self::Part) -> Self {
                Self { re, im }
            }
        }
    )*};
}

complex!(Complex64 of f32, Complex128 of f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Complex128, b: (f64, f64)) -> bool {
        (a.re - b.0).abs() < 1e-12 && (a.im - b.1).abs() < 1e-12
    }

    #[test]
    fn identities() {
        let z = Complex128 { re: 0.75, im: -1.25 };
        let one = Complex128 { re: 1.0, im: 0.0 };
        let rows = [
            ("quotient of the product", z.product(z).quotient(z), (z.re, z.im)),
            ("logarithm of the exponential", z.exponential().logarithm(), (z.re, z.im)),
            ("square", z.to_power(Complex128 { re: 2.0, im: 0.0 }), (z.product(z).re, z.product(z).im)),
            ("reciprocal root", z.to_real_power(-0.5).product(z.to_real_power(0.5)), (1.0, 0.0)),
            ("cube root", z.to_real_power(1.0 / 3.0).product(z.to_real_power(2.0 / 3.0)), (z.re, z.im)),
            ("zero to zero", Complex128::default().to_power(Complex128::default()), (1.0, 0.0)),
            // tanh z = 2 sigmoid(2 z) - 1.
            ("tangent", z.hyperbolic_tangent(), {
                let s = z.plus_itself().sigmoid();
                (2.0 * s.re - 1.0, 2.0 * s.im)
            }),
            ("one over i", one.quotient(Complex128 { re: 0.0, im: 1.0 }), (0.0, -1.0)),
        ];
        for (name, got, want) in rows {
            assert!(close(got, want), "{name}: {got:?}, not {want:?}");
        }
        assert_eq!(Complex128 { re: 3.0, im: 4.0 }.length(), 5.0);
        assert_eq!(one.quotient(Complex128::default()).re, f64::INFINITY);
    }

    impl Complex128 {
        fn plus_itself(self) -> Self {
            Self { re: self.re + self.re, im: self.im + self.im }
        }
    }
}
