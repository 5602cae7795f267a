//! Epilogues by fixed-point arithmetic, and the plain sums.

use super::block::Block;
use super::fixed::{FixedPoint, WideFixedPoint};
use super::store::{RowStore, RowSums, Store, Target};
use crate::isa::{Isa, IsaNarrow, MAX_LANES};

/// Where exact results go. One compiled tile serves all of these.
pub enum StoreExact<'a> {
    /// The sums themselves.
    Sums(Target<'a, i32>),
    /// Numbers requantized by fixed-point multipliers.
    Fixed(&'a FixedPoint, FixedTarget<'a>),
    /// Numbers requantized from sums of 16-bit by 8-bit products, which may need 64 bits.
    Words(&'a WideFixedPoint, Target<'a, i16>),
}

/// Destinations of [`StoreExact::Fixed`].
pub enum FixedTarget<'a> {
    /// Signed bytes.
    I8(Target<'a, i8>),
    /// Unsigned bytes.
    U8(Target<'a, u8>),
    /// 16-bit numbers.
    I16(Target<'a, i16>),
}

macro_rules! fixed_target {
    ($($T:ty: $variant:ident,)*) => {
        $(impl<'a> From<Target<'a, $T>> for FixedTarget<'a> {
            fn from(target: Target<'a, $T>) -> Self {
                Self::$variant(target)
            }
        })*
    };
}

fixed_target! { i8: I8, u8: U8, i16: I16, }

impl RowStore for StoreExact<'_> {
    type Rest<'s>
        = StoreExact<'s>
    where
        Self: 's;

    fn rows_from(&self, row: usize) -> StoreExact<'_> {
        match self {
            Self::Sums(target) => StoreExact::Sums(target.rows_from(row)),
            Self::Words(fixed, target) => StoreExact::Words(fixed, target.rows_from(row)),
            Self::Fixed(fixed, target) => {
                let target = match target {
                    FixedTarget::I8(target) => target.rows_from(row).into(),
                    FixedTarget::U8(target) => target.rows_from(row).into(),
                    FixedTarget::I16(target) => target.rows_from(row).into(),
                };
                StoreExact::Fixed(fixed, target)
            }
        }
    }
}

impl Store for StoreExact<'_> {
    type Columns<S: Isa> = ();

    fn multiply(&self, block: Block<'_>) {
        block.run(self);
    }

    /// A product of 16 by 8 bits is at most 2^22 in magnitude.
    fn most_products(&self) -> usize {
        if matches!(self, Self::Words(..)) { 511 } else { usize::MAX }
    }

    #[inline(always)]
    fn columns<S: Isa>(&self, _: S, _: usize) {}

    #[inline(always)]
    fn store<S: Isa>(&self, isa: S, (): (), row: usize, col: usize, len: usize, sums: S::I) {
        let mut lanes = [0; MAX_LANES];
        isa.store_i32(sums, &mut lanes);
        match self {
            Self::Sums(target) => isa.store_i32_part(sums, target.at(row, col, len)),
            Self::Words(fixed, target) => {
                let out = isa.load_i32(&fixed.apply_lanes(isa, col, &lanes));
                isa.store_i16_part(out, target.at(row, col, len));
            }
            Self::Fixed(fixed, target) => {
                let out = isa.load_i32(&fixed.apply_lanes(isa, col, &lanes));
                match target {
                    FixedTarget::I8(target) => isa.store_i8_part(out, target.at(row, col, len)),
                    FixedTarget::U8(target) => isa.store_u8_part(out, target.at(row, col, len)),
                    FixedTarget::I16(target) => isa.store_i16_part(out, target.at(row, col, len)),
                }
            }
        }
    }

    #[inline(always)]
    fn store_rows<S: Isa>(
        &self,
        isa: S,
        (): (),
        rows: (usize, usize),
        col: usize,
        len: usize,
        mut sums: impl RowSums<S>,
    ) {
        // What the columns need is looked up once.
        if let Self::Words(fixed, target) = self
            && let Some(columns) = fixed.in_double(isa, col)
            && let Some(mut cursor) = target.cursor(rows, col, len)
        {
            for _ in 0..rows.1 {
                let mut lanes = [0; MAX_LANES];
                isa.store_i32(sums.next(isa), &mut lanes);
                let out = isa.load_i32(&columns.apply(isa, &lanes));
                let to = cursor.next();
                if len == S::LANES {
                    isa.store_i16(out, to);
                } else {
                    isa.store_i16_part(out, to);
                }
            }
            return;
        }
        for r in 0..rows.1 {
            self.store(isa, (), rows.0 + r, col, len, sums.next(isa));
        }
    }

    fn store_wide(&self, row: usize, col: usize, sums: &[i64]) {
        let Self::Words(fixed, target) = self else {
            debug_assert!(false, "{} sums at {row},{col} without a limit", sums.len());
            return;
        };
        for (i, (to, &sum)) in target.at(row, col, sums.len()).iter_mut().zip(sums).enumerate() {
            // The bounds lie within `i16`.
            *to = fixed.apply(col + i, sum) as i16;
        }
    }
}
