//! Functions of two operands of bytes, by vectors of 32-bit lanes.

use core::ops::Range;

use super::binary::{Source, check_operands};
use super::broadcast::Broadcast;
use super::for_each_range;
use super::quantized::Narrow;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Par, SharedMut};

/// A function of two bytes that have been widened to 32 bits.
pub trait ByteFunction: Copy + Send + Sync {
    /// The results. Implementations must be `#[inline(always)]`.
    fn lanes<S: Isa>(self, isa: S, a: S::I, b: S::I) -> S::I;
}

/// Bytes that vectors of 32-bit lanes are read from and written to.
pub trait ByteLanes: Narrow {
    /// Reads and widens `n <= LANES` values; the other lanes are zero.
    /// # Safety
    /// `ptr` must be valid for reading `n` values.
    unsafe fn load<S: Isa>(isa: S, ptr: *const Self, n: usize) -> S::I;
    /// Writes the first `n <= LANES` lanes.
    /// # Safety
    /// `ptr` must be valid for writing `n` values.
    unsafe fn store<S: Isa>(isa: S, value: S::I, ptr: *mut Self, n: usize);
}

macro_rules! byte_lanes {
    ($($T:ty: $load:ident $load_part:ident $store:ident $store_part:ident,)*) => {
        $(impl ByteLanes for $T {
            #[inline(always)]
            unsafe fn load<S: Isa>(isa: S, ptr: *const Self, n: usize) -> S::I {
                // SAFETY: the caller vouches for `n` values.
                unsafe { if n == S::LANES { isa.$load(ptr) } else { isa.$load_part(ptr, n) } }
            }
            #[inline(always)]
            unsafe fn store<S: Isa>(isa: S, value: S::I, ptr: *mut Self, n: usize) {
                // SAFETY: the caller vouches for `n` values.
                unsafe { if n == S::LANES { isa.$store(value, ptr) } else { isa.$store_part(value, ptr, n) } }
            }
        })*
    };
}

byte_lanes! {
    i8: load_i8_ptr load_i8_ptr_part store_i8_ptr store_i8_ptr_part,
    u8: load_u8_ptr load_u8_ptr_part store_u8_ptr store_u8_ptr_part,
}

/// Fills `out` with `f` of the elements of the operands, which may lie in the memory of `out`.
///
/// # Panics
/// If the lengths are not those of the plan, or an operand computed in place does not have the output's shape.
pub fn binary_bytes<T: ByteLanes>(
    cpu: Cpu,
    par: Par,
    plan: &Broadcast<2>,
    sources: [Source<'_, T>; 2],
    out: &mut [T],
    f: impl ByteFunction,
) {
    check_operands(plan, &sources, out.len());
    let out = SharedMut::new(out);
    let out = &out;
    for_each_range(par, plan.len(), |range| cpu.dispatch(Tile { plan, sources, out, range, f }));
}

/// A tile of the output.
struct Tile<'a, T, F> {
    plan: &'a Broadcast<2>,
    sources: [Source<'a, T>; 2],
    out: &'a SharedMut<'a, T>,
    range: Range<usize>,
    f: F,
}

/// An operand in a run: a vector for all of it, or where its elements lie.
#[derive(Clone, Copy)]
struct Operand<T, I> {
    at: *const T,
    all: Option<I>,
}

impl<T: ByteLanes, I: Copy> Operand<T, I> {
    /// # Safety
    /// `n` elements from `offset` on belong to the run.
    #[inline(always)]
    unsafe fn load<S: Isa<I = I>>(self, isa: S, offset: usize, n: usize) -> I {
        match self.all {
            Some(all) => all,
            // SAFETY: as the caller says.
            None => unsafe { T::load(isa, self.at.add(offset), n) },
        }
    }
}

impl<T: ByteLanes, F: ByteFunction> Kernel for Tile<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { plan, sources, out, range, f } = self;
        plan.runs(range, |run| {
            out.check(run.start, run.len);
            let to = out.as_mut_ptr().wrapping_add(run.start);
            let operand = |k: usize| match sources[k] {
                Source::InPlace => Operand { at: to.cast_const(), all: None },
                Source::Apart(s) if plan.advances(k) => {
                    Operand { at: s[run.operands[k]..][..run.len].as_ptr(), all: None }
                }
                Source::Apart(s) => {
                    let all = isa.splat_i32(s[run.operands[k]].widen());
                    Operand { at: core::ptr::null(), all: Some(all) }
                }
            };
            let (a, b) = (operand(0), operand(1));
            let whole = run.len - run.len % S::LANES;
            // SAFETY: the runs of tiles are disjoint parts of the output, which has been checked to hold this one;
            // operands have its length, were checked above, or are the output's own elements, read before they are
            // written.
            unsafe {
                for i in (0..whole).step_by(S::LANES) {
                    let (a, b) = (a.load(isa, i, S::LANES), b.load(isa, i, S::LANES));
                    T::store(isa, f.lanes(isa, a, b), to.add(i), S::LANES);
                }
                let n = run.len - whole;
                if n > 0 {
                    let (a, b) = (a.load(isa, whole, n), b.load(isa, whole, n));
                    T::store(isa, f.lanes(isa, a, b), to.add(whole), n);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantized::{AddShift, Affine, Limits, MulFloat, SquaredDifference};
    use super::*;

    /// All pairs of bytes: a column times a row.
    fn all_pairs<T: ByteLanes + PartialEq + core::fmt::Debug>(
        name: &str,
        f: impl ByteFunction,
        one: impl Fn(T, T) -> T,
    ) {
        let bytes: Vec<T> = (T::MIN..=T::MAX).map(T::cut).collect();
        let want: Vec<T> =
            bytes.iter().flat_map(|&x| bytes.iter().map(move |&y| (x, y))).map(|(x, y)| one(x, y)).collect();
        let plan = Broadcast::new([&[256, 1], &[256]]).unwrap();
        let wide: Vec<T> = bytes.iter().flat_map(|&x| [x; 256]).collect();
        let dense = Broadcast::new([&[256, 256], &[256]]).unwrap();
        // Runs that end within a vector.
        let odd = Broadcast::new([&[65536 - 5], &[65536 - 5]]).unwrap();
        let tall = bytes.repeat(256);
        for cpu in Cpu::all() {
            let par = Par::new(2);
            let mut out = vec![T::cut(0); 1 << 16];
            binary_bytes(cpu, par, &plan, [Source::Apart(&bytes), Source::Apart(&bytes)], &mut out, f);
            assert_eq!(out, want, "{name}, {}", cpu.name());
            let mut out = wide.clone();
            binary_bytes(cpu, par, &dense, [Source::InPlace, Source::Apart(&bytes)], &mut out, f);
            assert_eq!(out, want, "{name} in place, {}", cpu.name());
            let mut out = wide[5..].to_vec();
            binary_bytes(cpu, par, &odd, [Source::InPlace, Source::Apart(&tall[5..])], &mut out, f);
            assert_eq!(out, want[5..], "{name}, odd length, {}", cpu.name());
        }
    }

    #[test]
    fn products_and_sums_of_all_pairs_of_bytes() {
        let affine = |scale, zero_point| Affine { scale, zero_point };
        // Scales of the operands and the result, zero points, limits.
        let rows = [
            ("plain", [0.02, 0.03, 0.05], [0, 0, 0], (-128, 127)),
            ("halves", [0.5, 1.0, 1.0], [0, 0, 0], (-128, 127)),
            ("quarters", [0.25, 1.0, 1.0], [-1, 2, 3], (-128, 127)),
            ("zero points at the ends", [0.011, 0.0039, 0.0123], [-128, 127, -128], (-128, 127)),
            ("swish", [0.047, 0.003_906_25, 0.046], [9, -128, -127], (-128, 127)),
            ("limits", [0.1, 0.07, 0.02], [5, -9, 11], (-20, 77)),
            ("large factors", [2.0, 3.0, 0.05], [0, -4, 2], (-128, 127)),
            ("small factors", [0.001, 0.002, 0.05], [3, 1, -2], (-128, 127)),
        ];
        for (name, [a, b, out], [za, zb, zo], (min, max)) in rows {
            let limits = Limits { min, max };
            let (a, b, out) = (affine(a, za), affine(b, zb), affine(out, zo));
            if let Some(mul) = MulFloat::new(a, b, out, limits) {
                all_pairs::<i8>(&format!("product, {name}"), mul, |x, y| mul.apply(x, y));
            }
            if let Some(square) = SquaredDifference::new(a, b, out) {
                all_pairs::<i8>(&format!("squared difference, {name}"), square, |x, y| square.apply(x, y));
            }
            for subtract in [false, true] {
                if let Some(add) = AddShift::new(a, b, out, subtract, limits) {
                    all_pairs::<i8>(&format!("sum, {name}, {subtract}"), add, |x, y| add.apply(x, y));
                }
            }
            let up = |q: Affine| affine(q.scale, q.zero_point + 128);
            let limits = Limits { min: min + 128, max: max + 128 };
            if let Some(mul) = MulFloat::new(up(a), up(b), up(out), limits) {
                all_pairs::<u8>(&format!("product of unsigned bytes, {name}"), mul, |x, y| mul.apply(x, y));
            }
            if let Some(add) = AddShift::new(up(a), up(b), up(out), false, limits) {
                all_pairs::<u8>(&format!("sum of unsigned bytes, {name}"), add, |x, y| add.apply(x, y));
            }
        }
    }
}
