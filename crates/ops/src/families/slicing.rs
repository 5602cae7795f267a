//! Operators that take or replace a box of a tensor: SLICE, STRIDED_SLICE, DYNAMIC_UPDATE_SLICE.

use ferrolite_kernels::cpu::movement::{CopyEnds, CopyPlan, dense_strides, pack4, unpack4};
use ferrolite_model::options::StridedSliceOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use super::integers::Integers;
use super::moving::{BoxCopy, Moves, Unit, each_type, into_dense};
use crate::error::OpError;
use crate::io::{InputData, Io};
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::parts::Parts;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SLICE, infer_slice, lower_slice)
        .versions(8)
        .inputs(3, 3)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, Int4, String, Float8E4M3Fn, Float8E5M2
        ](Int32, Int32)(Int64, Int64)))
        .joins_or_takes(slice_parts),
    OpSpec::builtin(BuiltinOperator::STRIDED_SLICE, infer_strided, lower_strided)
        .versions(8)
        .inputs(4, 4)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, String, Float8E4M3Fn, Float8E5M2
        ](Int32, Int32, Int32)))
        .joins_or_takes(strided_parts),
    OpSpec::builtin(BuiltinOperator::DYNAMIC_UPDATE_SLICE, infer_update, lower_update)
        .versions(6)
        .inputs(3, 3)
        .types(&UPDATE_TYPES)
        .in_place(&[0]),
];

/// Element types of DYNAMIC_UPDATE_SLICE: operand and update the same, indices of 32 or 64 bits.
const UPDATE_TYPES: [crate::TypeRow; 32] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            [$(
                crate::TypeRow {
                    inputs: &[TensorType::$t, TensorType::$t, TensorType::Int32],
                    outputs: &[TensorType::$t],
                },
                crate::TypeRow {
                    inputs: &[TensorType::$t, TensorType::$t, TensorType::Int64],
                    outputs: &[TensorType::$t],
                },
            )*]
        };
    }
    rows!(
        Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Bool Int4
        Float8E4M3Fn Float8E5M2
    )
};

/// First index and length of a SLICE along every axis.
fn slice_box(node: &Node<'_>) -> Result<(Vec<usize>, Vec<usize>), InferError> {
    let shape = node.shape(0)?;
    let (begin, size) = (node.ints(1)?, node.ints(2)?);
    if begin.len() != shape.rank() || size.len() != shape.rank() {
        return Err(OpError::invalid(format!(
            "SLICE of {shape} needs one begin and one size per axis, but has {} and {}",
            begin.len(),
            size.len()
        ))
        .into());
    }
    let mut start = Vec::new();
    let mut len = Vec::new();
    for (axis, &dim) in shape.iter().enumerate() {
        let range = usize::try_from(begin[axis]).ok().filter(|&b| b <= dim).and_then(|b| {
            let rest = dim - b;
            let n = if size[axis] == -1 { rest } else { usize::try_from(size[axis]).ok()? };
            (n <= rest).then_some((b, n))
        });
        let (b, n) = range.ok_or_else(|| {
            OpError::invalid(format!(
                "SLICE from {} of size {} leaves axis {axis} of {shape}: sizes are -1 or at most what is left",
                begin[axis], size[axis]
            ))
        })?;
        start.push(b);
        len.push(n);
    }
    Ok((start, len))
}

fn infer_slice(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::new(&slice_box(node)?.1)))
}

fn slice_parts(node: &Node<'_>) -> Option<Parts> {
    let (start, len) = slice_box(node).ok()?;
    Parts::of_box(node.shape(0).ok()?, &start, &vec![1; len.len()], &len)
}

fn lower_slice(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (start, len) = slice_box(node)?;
    let info = node.input(0)?.info;
    let ones = vec![1; len.len()];
    let (ends, dims) = BoxCopy {
        source: &info.shape,
        start: &start,
        step: &ones,
        len: &len,
        result: &len,
        to: &vec![0; len.len()],
        to_step: &ones,
    }
    .strided();
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("slice", &[&Shape::new(&len)])
}

/// What a STRIDED_SLICE does with one axis of its result or source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A new axis of length 1 that the source lacks.
    New,
    /// One index; the axis is dropped.
    Index(usize),
    /// `len` indices from `start`, `step` apart.
    Range { start: usize, step: isize, len: usize },
}

/// Whether bit `i` of an option's mask is set.
fn bit(mask: i32, i: usize) -> bool {
    i < 32 && mask >> i & 1 == 1
}

/// What a STRIDED_SLICE does, axis by axis.
///
/// The masks are read as NumPy reads `...`, `None`, a single index and a range left open; the ellipsis comes first where
/// several are set.
fn strided_axes(node: &Node<'_>) -> Result<Vec<Part>, InferError> {
    let options = node.options::<StridedSliceOptionsT>()?;
    let shape = node.shape(0)?;
    let (begin, end, stride) = (node.ints(1)?, node.ints(2)?, node.ints(3)?);
    if begin.len() != end.len() || begin.len() != stride.len() || begin.len() > 31 {
        return Err(
            OpError::invalid("STRIDED_SLICE needs as many begins as ends and strides, at most 31").into()
        );
    }
    let new_axis = |i: usize| bit(options.new_axis_mask, i) && !bit(options.ellipsis_mask, i);
    let taken = (0..begin.len()).filter(|&i| !bit(options.ellipsis_mask, i) && !new_axis(i)).count();
    let whole = |axis: usize| Part::Range { start: 0, step: 1, len: shape[axis] };
    let too_many =
        || OpError::invalid(format!("STRIDED_SLICE names {taken} axes, but {shape} has {}", shape.rank()));
    let mut unnamed = shape.rank().checked_sub(taken).ok_or_else(too_many)?;
    let mut parts = Vec::new();
    let mut axis = 0;
    for i in 0..begin.len() {
        if bit(options.ellipsis_mask, i) {
            parts.extend((axis..axis + unnamed).map(whole));
            axis += unnamed;
            unnamed = 0;
        } else if new_axis(i) {
            parts.push(Part::New);
        } else {
            let bounds = Bounds {
                begin: (!bit(options.begin_mask, i)).then_some(begin[i]),
                end: (!bit(options.end_mask, i)).then_some(end[i]),
                stride: stride[i],
                shrink: bit(options.shrink_axis_mask, i),
                relative: options.offset,
            };
            parts.push(bounds.of(shape[axis]).map_err(|why| {
                OpError::invalid(format!("STRIDED_SLICE along axis {axis} of {shape}: {why}"))
            })?);
            axis += 1;
        }
    }
    parts.extend((axis..shape.rank()).map(whole));
    Ok(parts)
}

/// The bounds of a STRIDED_SLICE along one axis.
struct Bounds {
    /// First index, from the end if negative; `None` for the first in the direction of the stride.
    begin: Option<i64>,
    /// Where to stop, from the end if negative; `None` for behind the last.
    end: Option<i64>,
    stride: i64,
    /// Whether only the index `begin` is taken.
    shrink: bool,
    /// Whether `end` counts from `begin`.
    relative: bool,
}

impl Bounds {
    /// The bounds on an axis of `dim` positions.
    fn of(&self, dim: usize) -> Result<Part, String> {
        let n = dim as i64;
        let step = isize::try_from(self.stride).ok().filter(|&s| s != 0).ok_or("strides must not be 0")?;
        let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let place = |i: i64| if i < 0 { i.saturating_add(n) } else { i }.clamp(low, high);
        let start = self.begin.map_or(if step > 0 { 0 } else { n - 1 }, place);
        if self.shrink {
            return usize::try_from(start)
                .ok()
                .filter(|&i| i < dim)
                .map(Part::Index)
                .ok_or_else(|| format!("index {:?} is outside", self.begin.unwrap_or(0)));
        }
        let stop = match self.end {
            None if step > 0 => n,
            None => -1,
            Some(end) if self.relative => place(end.saturating_add(start)),
            Some(end) => place(end),
        };
        let distance = if step > 0 { stop - start } else { start - stop };
        let len = if distance > 0 { (distance as u64).div_ceil(self.stride.unsigned_abs()) } else { 0 };
        let start = if len == 0 { 0 } else { start.max(0) as usize };
        Ok(Part::Range { start, step, len: len as usize })
    }
}

fn infer_strided(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let dims = strided_axes(node)?.into_iter().filter_map(|part| match part {
        Part::New => Some(1),
        Part::Index(_) => None,
        Part::Range { len, .. } => Some(len),
    });
    Ok(one(dims.collect()))
}

fn strided_parts(node: &Node<'_>) -> Option<Parts> {
    let (mut start, mut step, mut len) = (Vec::new(), Vec::new(), Vec::new());
    for part in strided_axes(node).ok()? {
        let (first, by, positions) = match part {
            Part::New => continue,
            Part::Index(i) => (i, 1, 1),
            Part::Range { start, step, len } => (start, step, len),
        };
        start.push(first);
        step.push(by);
        len.push(positions);
    }
    Parts::of_box(node.shape(0).ok()?, &start, &step, &len)
}

fn lower_strided(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let parts = strided_axes(node)?;
    let info = node.input(0)?.info;
    let strides = dense_strides(&info.shape);
    let (mut start, mut axis) = (0usize, 0);
    let (mut result, mut steps) = (Vec::new(), Vec::new());
    for part in parts {
        let (first, kept) = match part {
            Part::New => {
                result.push(1);
                steps.push(0);
                continue;
            }
            Part::Index(i) => (i, None),
            Part::Range { start, step, len } => (start, Some((len, step))),
        };
        start += first * strides[axis] as usize;
        if let Some((len, step)) = kept {
            result.push(len);
            steps.push(strides[axis].saturating_mul(step));
        }
        axis += 1;
    }
    let (ends, dims) = into_dense(&info.shape, start, &result, &steps)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("strided_slice", &[&Shape::new(&result)])
}

fn infer_update(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (operand, update, indices) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    let fits = update.rank() == operand.rank() && update.iter().zip(operand.iter()).all(|(u, o)| u <= o);
    if !fits || indices.rank() != 1 || indices[0] != operand.rank() {
        return Err(OpError::invalid(format!(
            "an update of {update} at {indices} start indices does not fit {operand}: it needs the same rank, no larger \
             dimensions and one index per axis"
        ))
        .into());
    }
    Ok(one(operand.clone()))
}

/// The update's copy and where it may begin.
struct Update {
    unit: Unit,
    plan: CopyPlan,
    /// Elements of the operand and of the update.
    lens: (usize, usize),
    /// Strides of the operand in elements, and the greatest start that keeps the update inside, per axis.
    axes: Vec<(usize, i64)>,
}

fn lower_update(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (operand, update) = (node.shape(0)?, node.shape(1)?);
    let unit = Unit::of(node.dtype(0)?)?;
    let strides = dense_strides(operand);
    let zeros = vec![0; operand.rank()];
    let ones = vec![1; operand.rank()];
    let (ends, dims) = BoxCopy {
        source: update,
        start: &zeros,
        step: &ones,
        len: update,
        result: operand,
        to: &zeros,
        to_step: &ones,
    }
    .strided();
    // The plan ends with the last element written, so that it can run from any start that keeps the update inside.
    let reach = if ends.src_len == 0 {
        0
    } else {
        1 + update.iter().zip(&strides).map(|(&d, &s)| (d - 1) * s as usize).sum::<usize>()
    };
    let element = if let Unit::Bytes(n) = unit { n } else { 1 };
    let plan = CopyPlan::new(element, CopyEnds { dst_len: reach, ..ends }, &dims)
        .ok_or_else(|| OpError::invalid("the update does not fit the operand"))?;
    let lens = (operand.num_elements()?, update.num_elements()?);
    let axes = strides.iter().zip(operand.iter().zip(update.iter()));
    let update =
        Update { unit, plan, lens, axes: axes.map(|(&s, (&o, &u))| (s as usize, (o - u) as i64)).collect() };
    let scratch = if unit == Unit::Nibbles { lens.0 + lens.1 } else { 0 };
    Ok(FnKernel::new("dynamic_update_slice", move |io, cx| {
        let start = update.start(io)?;
        if !matches!(io.inputs.view(0)?.data, InputData::InPlace(0)) {
            io.outputs.bytes(0)?.copy_from_slice(io.inputs.bytes(0)?);
        }
        match update.unit {
            Unit::Bytes(n) => {
                let to = &mut io.outputs.bytes(0)?[start * n..];
                update.plan.run(io.inputs.bytes(1)?, to, cx.par());
            }
            _ => {
                let (whole, part) = io.scratch.split_at_mut(update.lens.0);
                let part = &mut part[..update.lens.1];
                unpack4(io.outputs.bytes(0)?, whole);
                unpack4(io.inputs.bytes(1)?, part);
                update.plan.run(part, &mut whole[start..], cx.par());
                pack4(whole, io.outputs.bytes(0)?);
            }
        }
        Ok(())
    })
    .scratch(scratch)
    .boxed())
}

impl Update {
    /// The first element written: start indices are moved to where the update fits.
    fn start(&self, io: &Io<'_>) -> Result<usize, OpError> {
        let indices = Integers::of(io.inputs, 2)?;
        let mut start = 0;
        for (i, &(stride, last)) in self.axes.iter().enumerate() {
            start += indices.get(i).clamp(0, last) as usize * stride;
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, raw, run, run_one, strings_of, tensor, text};
    use super::*;
    use ferrolite_model::Options;
    use ferrolite_model::options::StridedSliceOptionsT;

    fn numbers(shape: &[usize]) -> super::super::testing::Input {
        let n: usize = shape.iter().product();
        tensor::<i32>(shape, &(0..n as i32).collect::<Vec<_>>())
    }

    #[test]
    fn strided_slice_rows() {
        type Masks = StridedSliceOptionsT;
        struct Row {
            name: &'static str,
            masks: Masks,
            begin: &'static [i32],
            end: &'static [i32],
            stride: &'static [i32],
            want: Option<(&'static [usize], &'static [i32])>,
        }
        let none = Masks::default;
        // Of the numbers 0 to 11 in shape [3, 4].
        let rows = [
            Row {
                name: "box",
                masks: none(),
                begin: &[0, 1],
                end: &[2, 3],
                stride: &[1, 1],
                want: Some((&[2, 2], &[1, 2, 5, 6])),
            },
            Row {
                name: "from the end",
                masks: none(),
                begin: &[-1, -3],
                end: &[3, -1],
                stride: &[1, 1],
                want: Some((&[1, 2], &[9, 10])),
            },
            Row {
                name: "backwards",
                masks: none(),
                begin: &[2, 3],
                end: &[0, -5],
                stride: &[-1, -2],
                want: Some((&[2, 2], &[11, 9, 7, 5])),
            },
            Row {
                name: "open",
                masks: Masks { begin_mask: 2, end_mask: 1, ..none() },
                begin: &[1, 9],
                end: &[0, 2],
                stride: &[1, 1],
                want: Some((&[2, 2], &[4, 5, 8, 9])),
            },
            Row {
                name: "open backwards",
                masks: Masks { begin_mask: 3, end_mask: 3, ..none() },
                begin: &[0, 0],
                end: &[0, 0],
                stride: &[-2, -3],
                want: Some((&[2, 2], &[11, 8, 3, 0])),
            },
            Row {
                name: "index",
                masks: Masks { shrink_axis_mask: 1, ..none() },
                begin: &[-2, 0],
                end: &[0, 4],
                stride: &[1, 2],
                want: Some((&[2], &[4, 6])),
            },
            Row {
                name: "ellipsis",
                masks: Masks { ellipsis_mask: 1, shrink_axis_mask: 2, ..none() },
                begin: &[0, 1],
                end: &[0, 2],
                stride: &[1, 1],
                want: Some((&[3], &[1, 5, 9])),
            },
            Row {
                name: "empty ellipsis",
                masks: Masks { ellipsis_mask: 2, ..none() },
                begin: &[1, 0, 1],
                end: &[2, 0, 2],
                stride: &[1, 1, 1],
                want: Some((&[1, 1], &[5])),
            },
            Row {
                name: "new axis",
                masks: Masks { new_axis_mask: 2, ..none() },
                begin: &[1, 0, 0],
                end: &[2, 0, 2],
                stride: &[1, 1, 1],
                want: Some((&[1, 1, 2], &[4, 5])),
            },
            Row {
                name: "fewer axes",
                masks: none(),
                begin: &[2],
                end: &[3],
                stride: &[1],
                want: Some((&[1, 4], &[8, 9, 10, 11])),
            },
            Row {
                name: "relative end",
                masks: Masks { offset: true, ..none() },
                begin: &[1, 2],
                end: &[1, 2],
                stride: &[1, 1],
                want: Some((&[1, 2], &[6, 7])),
            },
            Row {
                name: "nothing",
                masks: none(),
                begin: &[2, 0],
                end: &[1, 4],
                stride: &[1, 1],
                want: Some((&[0, 4], &[])),
            },
            Row {
                name: "clamped",
                masks: none(),
                begin: &[-9, 1],
                end: &[9, 9],
                stride: &[2, 2],
                want: Some((&[2, 2], &[1, 3, 9, 11])),
            },
            Row {
                name: "index outside",
                masks: Masks { shrink_axis_mask: 1, ..none() },
                begin: &[3, 0],
                end: &[4, 4],
                stride: &[1, 1],
                want: None,
            },
            Row {
                name: "stride 0",
                masks: none(),
                begin: &[0, 0],
                end: &[3, 4],
                stride: &[0, 1],
                want: None,
            },
            Row {
                name: "too many axes",
                masks: none(),
                begin: &[0, 0, 0],
                end: &[1, 1, 1],
                stride: &[1, 1, 1],
                want: None,
            },
        ];
        let mut failures = Vec::new();
        for row in rows {
            let list = |v: &[i32]| tensor(&[v.len()], v);
            let inputs = [numbers(&[3, 4]), list(row.begin), list(row.end), list(row.stride)];
            let got = run_one::<i32>(BuiltinOperator::STRIDED_SLICE, row.masks, &inputs).ok();
            let want = row.want.map(|(shape, values)| (Shape::new(shape), values.to_vec()));
            if got != want {
                failures.push(format!("{}: {got:?} instead of {want:?}", row.name));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn slices_strings_and_packed_elements() {
        let (begin, size) = (|| tensor(&[1], &[1i32]), || tensor(&[1], &[-1i32]));
        let inputs = [text(&[3], &["a", "bc", ""]), begin(), size()];
        let got = run(BuiltinOperator::SLICE, Options::None, &inputs, &[output(TensorType::String)]).unwrap();
        assert_eq!(strings_of(&got[0]), ["bc", ""]);
        let inputs = [raw(TensorType::Int4, &[5], &[0x21, 0x43, 0x05]), begin(), size()];
        let got = run(BuiltinOperator::SLICE, Options::None, &inputs, &[output(TensorType::Int4)]).unwrap();
        assert_eq!((got[0].shape().dims(), got[0].bytes()), (&[4][..], &[0x32, 0x54][..]));
    }

    #[test]
    fn slices_that_leave_the_tensor_are_refused() {
        for (begin, size) in [([0, 5], [1, 1]), ([0, 3], [1, 2]), ([-1, 0], [1, 1]), ([0, 0], [1, -2])] {
            let inputs = [numbers(&[3, 4]), tensor(&[2], &begin), tensor(&[2], &size)];
            let got = run_one::<i32>(BuiltinOperator::SLICE, Options::None, &inputs);
            assert!(got.is_err(), "{begin:?} {size:?}");
        }
    }

    #[test]
    fn updates_are_moved_inside() {
        for (start, want) in [
            ([0i64, 0], [90, 91, 2, 92, 93, 5, 6, 7, 8]),
            ([9, 1], [0, 1, 2, 3, 90, 91, 6, 92, 93]),
            ([1, -4], [0, 1, 2, 90, 91, 5, 92, 93, 8]),
        ] {
            let inputs = [numbers(&[3, 3]), tensor(&[2, 2], &[90i32, 91, 92, 93]), tensor(&[2], &start)];
            let got = run_one::<i32>(BuiltinOperator::DYNAMIC_UPDATE_SLICE, Options::None, &inputs).unwrap();
            assert_eq!(got.1, want, "{start:?}");
        }
        let inputs = [
            raw(TensorType::Int4, &[4], &[0x21, 0x43]),
            raw(TensorType::Int4, &[1], &[0x0f]),
            tensor(&[1], &[2i32]),
        ];
        let got =
            run(BuiltinOperator::DYNAMIC_UPDATE_SLICE, Options::None, &inputs, &[output(TensorType::Int4)])
                .unwrap();
        assert_eq!(got[0].bytes(), [0x21, 0x4f]);
    }
}
