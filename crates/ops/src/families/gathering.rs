//! Operators that pick rows by their positions: GATHER, GATHER_ND, EMBEDDING_LOOKUP.

use ferrolite_kernels::cpu::movement::{dense_strides, gather_rows, pack4, unpack4};
use ferrolite_kernels::par::Par;
use ferrolite_model::options::GatherOptionsT;
use ferrolite_model::{BuiltinOperator, QuantizationDetails, TensorType};
use half::f16;

use super::integers::Integers;
use super::moving::Unit;
use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::{Shape, resolve_axis};
use crate::spec::{OpSpec, TypeRow};
use crate::tensor::TensorInfo;
use crate::{strings, types};

/// Rows of any type picked by positions of 16, 32 or 64 bits.
macro_rules! gather_types {
    ($($t:ident)*) => {
        types![$(($t, Int16) -> ($t), ($t, Int32) -> ($t), ($t, Int64) -> ($t)),*]
    };
}
/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::GATHER, infer_gather, lower_gather).versions(8).inputs(2, 2).types(
        gather_types!(
            Float32 Float16 BFloat16 Int8 UInt8 Int16 Int32 Int64 Bool Int4 String Float8E4M3Fn Float8E5M2
        ),
    ),
    OpSpec::builtin(BuiltinOperator::GATHER_ND, infer_gather_nd, lower_gather_nd)
        .versions(6)
        .inputs(2, 2)
        .types(gather_types!(
            Float32 Float16 BFloat16 Int8 UInt8 Int16 Int32 Int64 Bool String Float8E4M3Fn Float8E5M2
        )),
    OpSpec::builtin(BuiltinOperator::EMBEDDING_LOOKUP, infer_embedding, lower_embedding)
        .versions(5)
        .inputs(2, 2)
        .types(EMBEDDING_TYPES),
];

/// Tables of any type, and quantized ones that are dequantized on the way.
const EMBEDDING_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            types![
                $((Int32, $t) -> ($t),)*
                (Int32, Int8) -> (Float32), (Int32, UInt8) -> (Float32),
                (Int32, Int4) -> (Float32), (Int32, Int2) -> (Float32),
                (Int32, Int8) -> (Float16), (Int32, UInt8) -> (Float16),
                (Int32, Int4) -> (Float16), (Int32, Int2) -> (Float16),
            ]
        };
    }
    rows!(
        Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Bool
        Float8E4M3Fn Float8E5M2
    )
};

/// Copies rows of `row` elements: row `i` of output 0 is row `pick(i)` of input `table`.
fn pick_rows(
    io: &mut Io<'_>,
    table: usize,
    unit: Unit,
    (row, shape): (usize, &Shape),
    par: Par,
    pick: impl Fn(usize) -> usize + Sync + Send,
) -> Result<(), OpError> {
    match unit {
        Unit::Bytes(n) => gather_rows(io.inputs.bytes(table)?, io.outputs.bytes(0)?, row * n, par, pick),
        Unit::Nibbles => {
            let count = shape.num_elements()?;
            let (to, from) = io.scratch.split_at_mut(count);
            unpack4(io.inputs.bytes(table)?, from);
            gather_rows(from, to, row, par, pick);
            pack4(to, io.outputs.bytes(0)?);
        }
        Unit::Strings => {
            let all = strings::decode(io.inputs.bytes(table)?)?;
            let count = shape.num_elements()?;
            let string = |i: usize| {
                let at = pick(i / row) * row + i % row;
                all.get(at)
                    .copied()
                    .ok_or_else(|| OpError::runtime("a string tensor holds fewer strings than its shape"))
            };
            let picked: Vec<&[u8]> = (0..count).map(string).collect::<Result<_, _>>()?;
            io.outputs.set_bytes(0, shape, &strings::encode(&picked)?)?;
        }
    }
    Ok(())
}

/// Scratch bytes of [`pick_rows`].
fn scratch(unit: Unit, table: &Shape, output: &Shape) -> Result<usize, OpError> {
    Ok(if unit == Unit::Nibbles { table.num_elements()? + output.num_elements()? } else { 0 })
}

/// The axis picked from and the number of leading axes that positions share with it.
fn gather_axes(node: &Node<'_>) -> Result<(usize, usize), OpError> {
    let options = node.options::<GatherOptionsT>()?;
    let (shape, positions) = (node.shape(0)?, node.shape(1)?);
    let axis = resolve_axis(i64::from(options.axis), shape.rank())?;
    let batch = if options.batch_dims == 0 {
        0
    } else {
        // As many as all axes of the positions are allowed too.
        resolve_axis(i64::from(options.batch_dims), positions.rank() + usize::from(options.batch_dims > 0))?
    };
    if batch > axis || batch > positions.rank() || shape[..batch] != positions[..batch] {
        return Err(OpError::invalid(format!(
            "GATHER along axis {axis} of {shape} by positions {positions} cannot share {batch} leading axes: they must be \
             equal and come before the axis"
        )));
    }
    Ok((axis, batch))
}

fn infer_gather(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (axis, batch) = gather_axes(node)?;
    let (shape, positions) = (node.shape(0)?, node.shape(1)?);
    Ok(one([&shape[..axis], &positions[batch..], &shape[axis + 1..]].concat().into_iter().collect()))
}

fn lower_gather(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (axis, batch) = gather_axes(node)?;
    let (shape, positions) = (node.shape(0)?.clone(), node.shape(1)?);
    let output = node.output(0)?.shape.clone();
    let unit = Unit::of(node.dtype(0)?)?;
    let outer: usize = shape[batch..axis].iter().product();
    let row: usize = shape[axis + 1..].iter().product();
    let per_batch: usize = positions[batch..].iter().product();
    let limit = shape[axis];
    let scratch = scratch(unit, &shape, &output)?;
    Ok(FnKernel::new("gather", move |io, cx| {
        let positions = Integers::of(io.inputs, 1)?;
        for i in 0..positions.len() {
            positions.index(i, limit, "a gathered axis")?;
        }
        pick_rows(io, 0, unit, (row, &output), cx.par(), |i| {
            let (prefix, k) = (i / per_batch, i % per_batch);
            prefix * limit + positions.get(prefix / outer * per_batch + k) as usize
        })
    })
    .scratch(scratch)
    .boxed())
}

/// Number of leading axes that each position of a GATHER_ND names.
fn named_axes(node: &Node<'_>) -> Result<usize, OpError> {
    let (shape, positions) = (node.shape(0)?, node.shape(1)?);
    positions.last().copied().filter(|&n| n <= shape.rank()).ok_or_else(|| {
        OpError::invalid(format!(
            "GATHER_ND positions {positions} must name at most the {} axes of {shape}",
            shape.rank()
        ))
    })
}

fn infer_gather_nd(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let named = named_axes(node)?;
    let (shape, positions) = (node.shape(0)?, node.shape(1)?);
    Ok(one([&positions[..positions.rank() - 1], &shape[named..]].concat().into_iter().collect()))
}

fn lower_gather_nd(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let named = named_axes(node)?;
    let shape = node.shape(0)?.clone();
    let output = node.output(0)?.shape.clone();
    let unit = Unit::of(node.dtype(0)?)?;
    let row: usize = shape[named..].iter().product();
    let strides = dense_strides(&shape[..named]);
    let scratch = scratch(unit, &shape, &output)?;
    Ok(FnKernel::new("gather_nd", move |io, cx| {
        let positions = Integers::of(io.inputs, 1)?;
        for i in 0..positions.len() {
            positions.index(i, shape[i % named], "a gathered axis")?;
        }
        pick_rows(io, 0, unit, (row, &output), cx.par(), |i| {
            strides.iter().enumerate().map(|(j, &s)| positions.get(i * named + j) as usize * s as usize).sum()
        })
    })
    .scratch(scratch)
    .boxed())
}

fn infer_embedding(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (ids, table) = (node.shape(0)?, node.shape(1)?);
    if ids.rank() != 1 || table.rank() < 2 {
        return Err(OpError::invalid(format!(
            "EMBEDDING_LOOKUP takes a list of positions and a table of rows, not {ids} and {table}"
        ))
        .into());
    }
    Ok(one([&ids[..], &table[1..]].concat().into_iter().collect()))
}

fn lower_embedding(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let table = node.input(1)?.info;
    let output = node.output(0)?;
    let (limit, row) = (table.shape[0], table.shape[1..].iter().product::<usize>());
    match (table.dtype == output.dtype, output.dtype) {
        (false, TensorType::Float32) => return dequantized_rows::<f32>(table, limit, row, |x| x),
        (false, _) => return dequantized_rows::<f16>(table, limit, row, f16::from_f32),
        (true, _) => {}
    }
    let unit = Unit::of(table.dtype)?;
    let shape = output.shape.clone();
    Ok(FnKernel::new("embedding_lookup", move |io, cx| {
        let ids = Integers::of(io.inputs, 0)?;
        for i in 0..ids.len() {
            ids.index(i, limit, "an embedding table")?;
        }
        pick_rows(io, 1, unit, (row, &shape), cx.par(), |i| ids.get(i) as usize)
    })
    .boxed())
}

/// Picks rows of a table of small integers and scales them, by one factor, one for each row or one for each block of it.
fn dequantized_rows<T: Element>(
    table: &TensorInfo,
    limit: usize,
    row: usize,
    narrow: fn(f32) -> T,
) -> Result<Box<dyn Kernel>, OpError> {
    let quantization = table.quantization.as_deref();
    let scales = table.scales()?.to_vec();
    let symmetric = quantization.is_none_or(|q| q.zero_point.iter().all(|&z| z == 0));
    // Elements that share a scale: all of them, those of a row, those of a block.
    let shared = match quantization.and_then(|q| q.details.as_ref()) {
        Some(QuantizationDetails::Blockwise { block_size, .. }) => usize::try_from(*block_size).ok(),
        Some(QuantizationDetails::MultiAxis { .. }) => None,
        _ if scales.len() == 1 => Some(limit * row),
        _ => Some(row),
    };
    let Some(shared) = shared.filter(|&n| symmetric && n.checked_mul(scales.len()) == Some(limit * row))
    else {
        return Err(OpError::invalid(format!(
            "the embedding table '{}' needs zero points of 0 and one scale, one for each of its {limit} rows, or one for \
             each block of a row",
            table.name
        )));
    };
    let bits = table.dtype.bits().unwrap_or(8);
    if !(row * bits).is_multiple_of(8) {
        return Err(OpError::unsupported(format!(
            "rows of the embedding table '{}' do not fill whole bytes: pad them to a multiple of {} elements",
            table.name,
            8 / bits
        )));
    }
    // Unsigned bytes are read as signed ones, as the format's tables have always been.
    let element: fn(&[u8], usize) -> i8 = match bits {
        2 => |bytes, i| (bytes[i / 4] << (6 - 2 * (i % 4))) as i8 >> 6,
        4 => |bytes, i| (bytes[i / 2] << (4 - 4 * (i % 2))) as i8 >> 4,
        _ => |bytes, i| bytes[i] as i8,
    };
    let row_bytes = row * bits / 8;
    Ok(FnKernel::new("embedding_lookup_dequantize", move |io, cx| {
        let ids = Integers::of(io.inputs, 0)?;
        for i in 0..ids.len() {
            ids.index(i, limit, "an embedding table")?;
        }
        let bytes = io.inputs.bytes(1)?;
        let to = io.outputs.get::<T>(0)?;
        if row > 0 {
            cx.par().chunks_mut(to, row, |i, to| {
                let id = ids.get(i) as usize;
                let from = &bytes[id * row_bytes..(id + 1) * row_bytes];
                for (j, to) in to.iter_mut().enumerate() {
                    *to = narrow(f32::from(element(from, j)) * scales[(id * row + j) / shared]);
                }
            });
        }
        Ok(())
    })
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, raw, run, run_one, strings_of, tensor, text};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn gather_shares_leading_axes() {
        let options = |axis, batch_dims| GatherOptionsT { axis, batch_dims };
        let source = || tensor(&[2, 3, 2], &(0..12).collect::<Vec<i32>>());
        let positions = || tensor(&[2, 2], &[2i16, 0, 1, 1]);
        let got = run_one::<i32>(BuiltinOperator::GATHER, options(1, 1), &[source(), positions()]).unwrap();
        assert_eq!(got, (Shape::from([2, 2, 2]), vec![4, 5, 0, 1, 8, 9, 8, 9]));
        let got = run_one::<i32>(
            BuiltinOperator::GATHER,
            options(-1, -1),
            &[source(), tensor(&[2, 1], &[1i64, 0])],
        )
        .unwrap();
        assert_eq!(got, (Shape::from([2, 3, 1]), vec![1, 3, 5, 6, 8, 10]));
        let got = run_one::<i32>(BuiltinOperator::GATHER, options(0, 0), &[source(), tensor(&[], &[1i32])])
            .unwrap();
        assert_eq!(got, (Shape::from([3, 2]), vec![6, 7, 8, 9, 10, 11]));
        for bad in [2, -1] {
            let inputs = [source(), tensor(&[1], &[bad])];
            assert!(
                run_one::<i32>(BuiltinOperator::GATHER, options(0, 0), &inputs).is_err(),
                "position {bad}"
            );
        }
        assert!(run_one::<i32>(BuiltinOperator::GATHER, options(0, 1), &[source(), positions()]).is_err());
    }

    #[test]
    fn strings_and_packed_elements_are_gathered() {
        let positions = || tensor(&[2], &[2i32, 0]);
        let options = GatherOptionsT::default;
        let inputs = [text(&[3], &["a", "bc", "def"]), positions()];
        let got = run(BuiltinOperator::GATHER, options(), &inputs, &[output(TensorType::String)]).unwrap();
        assert_eq!(strings_of(&got[0]), ["def", "a"]);
        let inputs = [raw(TensorType::Int4, &[3, 1], &[0x21, 0x03]), positions()];
        let got = run(BuiltinOperator::GATHER, options(), &inputs, &[output(TensorType::Int4)]).unwrap();
        assert_eq!((got[0].shape().dims(), got[0].bytes()), (&[2, 1][..], &[0x13][..]));
        let inputs = [text(&[2, 2], &["a", "b", "c", "d"]), tensor(&[1, 2], &[1i32, 0])];
        let got =
            run(BuiltinOperator::GATHER_ND, Options::None, &inputs, &[output(TensorType::String)]).unwrap();
        assert_eq!(strings_of(&got[0]), ["c"]);
    }

    #[test]
    fn gather_nd_names_any_number_of_axes() {
        let source = || tensor(&[2, 2], &[1i32, 2, 3, 4]);
        type Row = (&'static [usize], &'static [i32], &'static [usize], &'static [i32]);
        let rows: &[Row] = &[
            (&[2, 2], &[1, 1, 0, 1], &[2], &[4, 2]),
            (&[1, 1], &[1], &[1, 2], &[3, 4]),
            (&[2, 0], &[], &[2, 2, 2], &[1, 2, 3, 4, 1, 2, 3, 4]),
        ];
        for (shape, positions, want_shape, want) in rows {
            let got = run_one::<i32>(
                BuiltinOperator::GATHER_ND,
                Options::None,
                &[source(), tensor(shape, positions)],
            );
            assert_eq!(got.unwrap(), (Shape::new(want_shape), want.to_vec()), "{shape:?}");
        }
        let inputs = [source(), tensor(&[1, 2], &[0, 2])];
        assert!(run_one::<i32>(BuiltinOperator::GATHER_ND, Options::None, &inputs).is_err());
    }

    #[test]
    fn tables_are_dequantized() {
        let ids = || tensor(&[2], &[1i32, 0]);
        let rows = [
            (
                "int8",
                raw(TensorType::Int8, &[2, 4], &[1, 2, 3, 4, 255, 254, 0, 7]),
                [-0.25f32, -0.5, 0.0, 1.75],
            ),
            ("int4", raw(TensorType::Int4, &[2, 4], &[0x21, 0x43, 0xef, 0x70]), [-0.25, -0.5, 0.0, 1.75]),
            (
                "int2",
                raw(TensorType::Int2, &[2, 4], &[0b11_10_01_00, 0b01_00_10_11]),
                [-0.25, -0.5, 0.0, 0.25],
            ),
        ];
        for (name, table, want) in rows {
            let inputs = [ids(), table.per_row(&[0.5, 0.25])];
            let got = run_one::<f32>(BuiltinOperator::EMBEDDING_LOOKUP, Options::None, &inputs).unwrap();
            assert_eq!(got.1[..4], want, "{name}");
        }
        let inputs = [tensor(&[1], &[2i32]), tensor(&[2, 1], &[1.0f32, 2.0])];
        assert!(run_one::<f32>(BuiltinOperator::EMBEDDING_LOOKUP, Options::None, &inputs).is_err());
    }
}
