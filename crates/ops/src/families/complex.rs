//! Complex numbers and the real parts they are made of: REAL, IMAG, COMPLEX_ABS, RFFT2D, and the custom
//! operator IRFFT2D.

use ferrolite_kernels::cpu::signal::{Complex, Fft, RealFft};
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::element::{Complex64, Complex128, Element};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::REAL, infer_same, |node, _| {
        parts("real", node, |x: Complex64| x.re, |x: Complex128| x.re)
    })
    .types(PARTS),
    OpSpec::builtin(BuiltinOperator::IMAG, infer_same, |node, _| {
        parts("imag", node, |x: Complex64| x.im, |x: Complex128| x.im)
    })
    .types(PARTS),
    OpSpec::builtin(BuiltinOperator::COMPLEX_ABS, infer_same, |node, _| {
        parts("complex_abs", node, |x: Complex64| x.re.hypot(x.im), |x: Complex128| x.re.hypot(x.im))
    })
    .types(PARTS),
    OpSpec::builtin(BuiltinOperator::RFFT2D, infer_rfft2d, lower_rfft2d)
        .inputs(2, 2)
        .types(types![(Float32, Int32) -> (Complex64)]),
    OpSpec::custom("IRFFT2D", infer_irfft2d, lower_irfft2d)
        .inputs(2, 2)
        .types(types![(Complex64, Int32) -> (Float32)]),
];

const PARTS: &[TypeRow] = types![(Complex64) -> (Float32), (Complex128) -> (Float64)];

fn infer_same(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

/// A kernel that takes a real number from every complex one.
fn parts(
    name: &'static str,
    node: &Node<'_>,
    single: fn(Complex64) -> f32,
    double: fn(Complex128) -> f64,
) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<C: Element, R: Element>(name: &'static str, part: fn(C) -> R) -> Box<dyn Kernel> {
        FnKernel::new(name, move |io, _| {
            for (to, &x) in io.outputs.get::<R>(0)?.iter_mut().zip(io.inputs.get::<C>(0)?) {
                *to = part(x);
            }
            Ok(())
        })
        .boxed()
    }
    Ok(match node.dtype(0)? {
        TensorType::Complex128 => kernel(name, double),
        _ => kernel(name, single),
    })
}

/// Rows and columns of a transform of the two innermost axes.
fn fft_lengths(node: &Node<'_>) -> Result<[usize; 2], InferError> {
    let lengths = node.ints(1)?;
    let power = |&n: &i64| usize::try_from(n).ok().filter(|n| n.is_power_of_two() && *n <= 1 << 30);
    match lengths.iter().map(power).collect::<Vec<_>>().as_slice() {
        &[Some(rows), Some(columns)] => Ok([rows, columns]),
        _ => Err(OpError::invalid(format!(
            "the lengths of a two-dimensional transform are two powers of two, not {lengths:?}"
        ))
        .into()),
    }
}

/// The two innermost dimensions and the product of the others.
fn slices(shape: &Shape) -> Result<(usize, [usize; 2]), OpError> {
    match &shape[..] {
        [outer @ .., rows, columns] => Ok((Shape::new(outer).num_elements()?, [*rows, *columns])),
        _ => Err(OpError::invalid(format!("a two-dimensional transform needs rank 2 at least, not {shape}"))),
    }
}

fn infer_rfft2d(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    slices(shape)?;
    let [rows, columns] = fft_lengths(node)?;
    let outer = &shape[..shape.rank() - 2];
    Ok(one([outer, &[rows, columns / 2 + 1]].concat().into_iter().collect()))
}

/// Rows are transformed as real signals, then columns as complex ones. Signals are cut or padded with zeros to length.
fn lower_rfft2d(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (count, [height, width]) = slices(node.shape(0)?)?;
    let [rows, columns] = fft_lengths(node)?;
    let too_long = || OpError::invalid("the transform's lengths are no powers of two");
    let (by_row, by_column) =
        (RealFft::new(columns).ok_or_else(too_long)?, Fft::new(rows).ok_or_else(too_long)?);
    let bins = by_row.bins();
    let size = ScratchSize::new()
        .with::<f64>(columns)
        .with::<Complex>(rows.saturating_mul(bins))
        .with::<Complex>(rows);
    Ok(FnKernel::new("rfft2d", move |io, _| {
        let mut scratch = Scratch::new(io.scratch);
        let (signal, spectrum, line) = (
            scratch.take::<f64>(columns),
            scratch.take::<Complex>(rows * bins),
            scratch.take::<Complex>(rows),
        );
        let input = io.inputs.get::<f32>(0)?;
        let output = io.outputs.get::<Complex64>(0)?;
        for (slice, out) in output.chunks_exact_mut(rows * bins).take(count).enumerate() {
            let image = &input[slice * height * width..][..height * width];
            for (y, spectrum) in spectrum.chunks_exact_mut(bins).enumerate() {
                signal.fill(0.0);
                if y < height {
                    for (to, &x) in signal.iter_mut().zip(&image[y * width..][..width]) {
                        *to = f64::from(x);
                    }
                }
                by_row.forward(signal, spectrum);
            }
            for x in 0..bins {
                for (y, to) in line.iter_mut().enumerate() {
                    *to = spectrum[y * bins + x];
                }
                by_column.forward(line);
                for (y, from) in line.iter().enumerate() {
                    out[y * bins + x] = Complex64 { re: from.re as f32, im: from.im as f32 };
                }
            }
        }
        Ok(())
    })
    .scratch(size.bytes())
    .boxed())
}

fn infer_irfft2d(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    slices(shape)?;
    let outer = &shape[..shape.rank() - 2];
    Ok(one([outer, &fft_lengths(node)?].concat().into_iter().collect()))
}

/// Columns are transformed back first, then rows as the spectra of real signals.
fn lower_irfft2d(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (count, [height, width]) = slices(node.shape(0)?)?;
    let [rows, columns] = fft_lengths(node)?;
    let too_long = || OpError::invalid("the transform's lengths are no powers of two");
    let (by_row, by_column) =
        (RealFft::new(columns).ok_or_else(too_long)?, Fft::new(rows).ok_or_else(too_long)?);
    let bins = by_row.bins();
    let size = ScratchSize::new()
        .with::<f64>(columns)
        .with::<Complex>(rows.saturating_mul(bins))
        .with::<Complex>(rows);
    let norm = 1.0 / (rows as f64 * columns as f64);
    Ok(FnKernel::new("irfft2d", move |io, _| {
        let mut scratch = Scratch::new(io.scratch);
        let (signal, spectrum, line) = (
            scratch.take::<f64>(columns),
            scratch.take::<Complex>(rows * bins),
            scratch.take::<Complex>(rows),
        );
        let input = io.inputs.get::<Complex64>(0)?;
        let output = io.outputs.get::<f32>(0)?;
        for (slice, out) in output.chunks_exact_mut(rows * columns).take(count).enumerate() {
            let image = &input[slice * height * width..][..height * width];
            for x in 0..bins {
                for (y, to) in line.iter_mut().enumerate() {
                    let from = (y < height && x < width).then(|| image[y * width + x]);
                    *to = from.map_or(Complex::default(), |c| Complex::new(c.re.into(), c.im.into()));
                }
                by_column.inverse(line);
                for (y, &from) in line.iter().enumerate() {
                    spectrum[y * bins + x] = from;
                }
            }
            for (spectrum, out) in spectrum.chunks_exact_mut(bins).zip(out.chunks_exact_mut(columns)) {
                by_row.inverse(spectrum, signal);
                for (to, &x) in out.iter_mut().zip(&*signal) {
                    *to = (x * norm) as f32;
                }
            }
        }
        Ok(())
    })
    .scratch(size.bytes())
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn parts_of_complex_numbers() {
        let numbers = || [tensor(&[2], &[Complex64 { re: 3.0, im: -4.0 }, Complex64 { re: 0.0, im: 1.0 }])];
        let rows = [
            (BuiltinOperator::REAL, [3.0f32, 0.0]),
            (BuiltinOperator::IMAG, [-4.0, 1.0]),
            (BuiltinOperator::COMPLEX_ABS, [5.0, 1.0]),
        ];
        for (op, want) in rows {
            assert_eq!(run_one::<f32>(op, Options::None, &numbers()).unwrap().1, want, "{op:?}");
        }
    }

    #[test]
    fn transforms_need_powers_of_two() {
        let transform = |lengths: &[i32]| {
            let inputs = [tensor(&[1, 2], &[1.0f32, 2.0]), tensor(&[lengths.len()], lengths)];
            run_one::<Complex64>(BuiltinOperator::RFFT2D, Options::None, &inputs)
        };
        let (shape, got) = transform(&[1, 2]).unwrap();
        assert_eq!(shape, Shape::from([1, 2]));
        assert_eq!(got, [Complex64 { re: 3.0, im: 0.0 }, Complex64 { re: -1.0, im: 0.0 }]);
        for bad in [&[3, 2][..], &[0, 2], &[-4, 2], &[2], &[2, 2, 2]] {
            assert!(transform(bad).is_err(), "{bad:?}");
        }
    }
}
