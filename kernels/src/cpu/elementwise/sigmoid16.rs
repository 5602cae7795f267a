//! Sigmoid and tanh of 16-bit integers, through one interpolated table.
//!
//! The table holds `sigmoid(i / 24)` in Q0.16, shifted by a sixteenth of its second difference so that the errors at
//! the points and between them balance. `tanh x = 2 sigmoid(2x) - 1` reads the same table twice as far out.

/// The brought input: a factor and a right shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    multiplier: i32,
    shift: u32,
}

impl Scaling {
    /// For inputs of this scale, to steps of 1 / (3 · 4096). A power of two that the function's fixed-point format
    /// reaches by shifting left at most `max_left` bits needs no rounding.
    #[must_use]
    pub fn new(scale: f32, max_left: i32) -> Self {
        if let Some(log) = super::quantized::log2_exact(scale)
            && (0..=max_left).contains(&(12 + log))
        {
            return Self { multiplier: 3 << (12 + log), shift: 0 };
        }
        let mut multiplier = f64::from(scale) * 4096.0 * 3.0;
        let mut shift = 0;
        while multiplier <= 32767.0 / 2.0 && shift <= 30 {
            shift += 1;
            multiplier *= 2.0;
        }
        Self { multiplier: multiplier as i32, shift }
    }

    #[inline(always)]
    fn apply(self, x: i16) -> i32 {
        let round = if self.shift > 0 { 1i32 << (self.shift - 1) } else { 0 };
        i32::from(x).wrapping_mul(self.multiplier).wrapping_add(round) >> self.shift
    }
}

/// The table of sigmoid for arguments from 0 to 255 / 24.
pub type Table = [u16; 256];

/// Computes the table.
#[must_use]
pub fn table() -> Table {
    let sigmoid = |i: f64| 65536.0 / (1.0 + (-i / 24.0).exp());
    let mut table = core::array::from_fn(|i| {
        let i = i as f64;
        let second_difference = sigmoid(i + 1.0) - 2.0 * sigmoid(i) + sigmoid(i - 1.0);
        (sigmoid(i) - second_difference / 16.0).round() as u16
    });
    table[255] = u16::MAX;
    table
}

/// `sigmoid(x)` in Q0.15.
#[inline(always)]
#[must_use]
pub fn sigmoid(table: &Table, scaling: Scaling, x: i16) -> i16 {
    let x = scaling.apply(x);
    let magnitude = x.unsigned_abs();
    let index = (magnitude >> 9) as usize;
    let value = if index >= 255 {
        0x7fff << 10
    } else {
        let (a, b) = (u32::from(table[index]), u32::from(table[index + 1]));
        (a << 9) + (magnitude & 0x1ff) * (b - a)
    };
    let rounded = if x >= 0 { value + (1 << 9) } else { (1 << 25) - value + (1 << 9) - 1 };
    (rounded >> 10) as i16
}

/// `tanh(x)` in Q0.15.
#[inline(always)]
#[must_use]
pub fn tanh(table: &Table, scaling: Scaling, x: i16) -> i16 {
    let x = scaling.apply(x);
    let magnitude = x.unsigned_abs();
    let index = (magnitude >> 8) as usize;
    let value = if index >= 255 {
        0xffff << 8
    } else {
        let (a, b) = (i32::from(table[index]), i32::from(table[index + 1]));
        (a << 8) + (magnitude & 0xff) as i32 * (b - a)
    };
    let rounded = if x >= 0 { value - (1 << 23) + (1 << 7) } else { -value + (1 << 23) + (1 << 7) - 1 };
    (rounded >> 8) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_inputs_are_near_the_real_functions() {
        let table = table();
        for (name, scale) in [("power of two", 1.0 / 4096.0), ("other", 0.000_37), ("wide", 0.01)] {
            for x in i16::MIN..=i16::MAX {
                let real = f64::from(scale) * f64::from(x);
                let got = f64::from(sigmoid(&table, Scaling::new(scale, 0), x)) / 32768.0;
                assert!(
                    (got - 1.0 / (1.0 + (-real).exp())).abs() < 1.5e-4,
                    "{name}: sigmoid({real}) = {got}"
                );
                let got = f64::from(tanh(&table, Scaling::new(scale, 1), x)) / 32768.0;
                assert!((got - real.tanh()).abs() < 3e-4, "{name}: tanh({real}) = {got}");
            }
        }
    }
}
