//! Tables of 8-bit and 16-bit functions, and the kernels that look them up.

use std::borrow::Cow;

use ferrolite_kernels::cpu::elementwise::lut::{Table8, Table16, apply8, apply16, table8};
use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow};
use ferrolite_model::TensorType;

use super::{Lowered, elements, infer_same};
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::same_types;
use crate::spec::OpSpec;

/// How a table's real results become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantize {
    /// The quotient is rounded with halves away from zero, then shifted by the zero point.
    ThenShift,
    /// The zero point is added first, then rounded with halves to even.
    AfterShift,
}

/// The table of a real function between two quantizations.
pub(super) fn real_table<T: Narrow>(
    input: Affine,
    output: Affine,
    quantize: Quantize,
    f: impl Fn(f32) -> f32,
) -> Table8<T> {
    let inverse = 1.0 / output.scale;
    let zero = output.zero_point as f32;
    table8(|x: T| {
        let y = f(input.scale * (x.widen() - input.zero_point) as f32);
        T::saturate(match quantize {
            Quantize::ThenShift => ((y * inverse).round() + zero) as i32,
            Quantize::AfterShift => (y * inverse + zero).round_ties_even() as i32,
        })
    })
}

/// The interpolation table of a real function between two 16-bit quantizations.
///
/// Each point is moved by half the error that interpolation makes in the middle of its interval.
pub(super) fn real_table16(input: Affine, output: Affine, f: impl Fn(f32) -> f32) -> Table16 {
    const STEPS: usize = 512;
    let bounds = |q: Affine| [-32768, 32767].map(|x| q.scale * (x - q.zero_point) as f32);
    let ([low, high], [out_low, out_high]) = (bounds(input), bounds(output));
    let step = (high - low) / STEPS as f32;
    let inverse = 65536.0 / (out_high - out_low);
    let cut = |x: f32| x.clamp(-32768.0, 32767.0) as i16;
    let mut table = [0; STEPS + 1];
    for (i, entry) in table[..STEPS].iter_mut().enumerate() {
        let at = low + i as f32 * step;
        let sample = (f(at) * inverse).round();
        let middle = (f(at + step / 2.0) * inverse).round();
        let next = f(low + (i + 1) as f32 * step) * inverse;
        let interpolated = ((next + sample) / 2.0).round();
        *entry = cut(sample - ((interpolated - middle) / 2.0).round());
    }
    table[STEPS] = cut((f(high) * inverse).round());
    table
}

/// As [`real_table16`], in double precision, for the fixed ranges of 16-bit softmax.
pub(super) fn fixed_table16(
    (low, high): (f64, f64),
    (out_low, out_high): (f64, f64),
    f: impl Fn(f64) -> f64,
) -> Table16 {
    const STEPS: usize = 512;
    let step = (high - low) / STEPS as f64;
    let inverse = 65536.0 / (out_high - out_low);
    let cut = |x: f64| x.clamp(-32768.0, 32767.0) as i16;
    let mut table = [0; STEPS + 1];
    for (i, entry) in table[..STEPS].iter_mut().enumerate() {
        let at = low + i as f64 * step;
        let sample = (f(at) * inverse).round();
        let middle = (f(at + step / 2.0) * inverse).round();
        let next = f(low + (i + 1) as f64 * step) * inverse;
        let interpolated = ((next + sample) / 2.0).round();
        *entry = cut(sample - ((interpolated - middle) / 2.0).round());
    }
    table[STEPS] = cut((f(high) * inverse).round());
    table
}

/// A kernel that looks each value up.
pub(super) fn table8_kernel<T: Narrow + Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    table: Table8<T>,
) -> Lowered {
    let run = FnKernel::new(name, move |io, context| {
        let par = context.par();
        apply8(par, io.in_out::<T>(0, 0)?, &table);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

/// The name of [`BYTE_TABLE`].
pub const BYTE_TABLE_NAME: &str = "ferrolite.byte_table";

/// An operator of no file, by which the planner replaces others: a function of 8-bit elements. Its custom options are the
/// results for all bytes, in the order of their bits.
pub const BYTE_TABLE: OpSpec = OpSpec::custom(BYTE_TABLE_NAME, infer_same, lower_byte_table)
    .types(same_types![UInt8, Int8])
    .in_place(&[0]);

fn lower_byte_table(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let entries = &node.operator.custom_options;
    let table: [u8; 256] = entries
        .as_ref()
        .try_into()
        .map_err(|_| OpError::invalid(format!("a table of {} entries is none of bytes", entries.len())))?;
    match node.dtype(0)? {
        TensorType::Int8 => table8_kernel("i8_table", node, table.map(|entry| entry as i8)),
        _ => table8_kernel("u8_table", node, table),
    }
}

/// A kernel that interpolates between a table's points.
pub(super) fn table16_kernel(name: impl Into<Cow<'static, str>>, node: &Node<'_>, table: Table16) -> Lowered {
    let run = FnKernel::new(name, move |io, context| {
        let par = context.par();
        apply16(par, io.in_out::<i16>(0, 0)?, &table);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

/// Refuses 16-bit operands with zero points.
pub(super) fn symmetric(input: Affine, output: Affine) -> Result<(Affine, Affine), OpError> {
    super::arithmetic::all_symmetric(&[input, output])?;
    Ok((input, output))
}
