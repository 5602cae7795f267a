//! What operators that only move elements share: a kernel made of strided copies, for elements of any type.

use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds, CopyPlan, dense_strides, fill, pack4, unpack4};
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::{InputData, Io};
use crate::kernel::{FnKernel, Kernel};
use crate::node::Node;
use crate::shape::Shape;
use crate::strings;

/// One row of element types, the first input's and the output's being the same: `row!(Float32, (Int32, Int32))` is
/// `(Float32, Int32, Int32) -> (Float32)`.
macro_rules! row {
    ($t:ident, ($($rest:ident),*)) => {
        $crate::TypeRow {
            inputs: &[$crate::TensorType::$t, $($crate::TensorType::$rest),*],
            outputs: &[$crate::TensorType::$t],
        }
    };
}
pub(super) use row;

/// Rows of element types: every type of a list with every list of further inputs,
/// `each_type!([Float32, Int8] (Int32) (Int64))`.
macro_rules! each_type {
    (@rows [$($done:tt)*] $types:tt) => { &[$($done)*] };
    (@rows [$($done:tt)*] [$($t:ident),*] $rest:tt $($more:tt)*) => {
        each_type!(@rows [$($done)* $($crate::families::moving::row!($t, $rest),)*] [$($t),*] $($more)*)
    };
    ([$($t:ident),* $(,)?] $($rest:tt)+) => { each_type!(@rows [] [$($t),*] $($rest)+) };
}
pub(super) use each_type;

/// How elements of a type are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As this many bytes.
    Bytes(usize),
    /// Two in a byte: spread to one per byte first.
    Nibbles,
    /// By their positions, which are moved in place of them.
    Strings,
}

impl Unit {
    /// The unit of a type.
    ///
    /// # Errors
    /// When the elements have no size that movement can work with.
    pub fn of(dtype: TensorType) -> Result<Self, OpError> {
        match (dtype, dtype.bits()) {
            (TensorType::String, _) => Ok(Self::Strings),
            (_, Some(4)) => Ok(Self::Nibbles),
            (_, Some(bits)) if bits >= 8 && bits.is_multiple_of(8) => Ok(Self::Bytes(bits / 8)),
            _ => Err(OpError::unsupported(format!(
                "{dtype} tensors cannot be rearranged: dequantize or cast them first"
            ))),
        }
    }

    /// Bytes of an element as plans count them.
    fn planned(self) -> usize {
        match self {
            Self::Bytes(n) => n,
            Self::Nibbles => 1,
            Self::Strings => size_of::<u32>(),
        }
    }
}

/// One strided copy from an input to an output.
pub struct Step {
    /// Input read.
    pub input: usize,
    /// Output written.
    pub output: usize,
    /// The copy, in elements.
    pub plan: CopyPlan,
}

/// What the outputs hold where no step writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Background {
    /// Steps write everything.
    Covered,
    /// This element; strings and packed types have none but zeros.
    Element(Vec<u8>),
    /// The one element of this input.
    Input(usize),
}

/// Collects the steps of an operator.
pub struct Moves {
    unit: Unit,
    steps: Vec<Step>,
    background: Background,
}

impl Moves {
    /// No steps yet, for elements of `dtype`.
    ///
    /// # Errors
    /// When the type cannot be moved.
    pub fn new(dtype: TensorType) -> Result<Self, OpError> {
        Ok(Self { unit: Unit::of(dtype)?, steps: Vec::new(), background: Background::Covered })
    }

    /// Fills the outputs before the steps.
    #[must_use]
    pub fn over(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Adds a copy from an input to an output.
    ///
    /// # Errors
    /// When the copy would leave its operands.
    pub fn step(
        mut self,
        (input, output): (usize, usize),
        ends: CopyEnds,
        dims: &[CopyDim],
    ) -> Result<Self, OpError> {
        let plan = CopyPlan::new(self.unit.planned(), ends, dims)
            .ok_or_else(|| OpError::invalid("the operator reads or writes outside of its operands"))?;
        self.steps.push(Step { input, output, plan });
        Ok(self)
    }

    /// The kernel; `shapes` are those of the outputs.
    ///
    /// # Errors
    /// When a size does not fit in memory.
    pub fn kernel(self, operator: &'static str, shapes: &[&Shape]) -> Result<Box<dyn Kernel>, OpError> {
        let kind = match self.steps.as_slice() {
            [step] => step.plan.kind(),
            _ => "copies",
        };
        let name = format!("{operator}_{kind}");
        let lens = shapes.iter().map(|s| s.num_elements()).collect::<Result<Vec<_>, _>>()?;
        let Self { unit, steps, background } = self;
        Ok(match unit {
            Unit::Bytes(_) => FnKernel::new(name, move |io, cx| run_bytes(&steps, &background, io, cx.par())),
            Unit::Nibbles => {
                let source = steps.iter().map(|s| s.plan.source_bytes()).max().unwrap_or(0);
                let result = lens.iter().max().copied().unwrap_or(0);
                FnKernel::new(name, move |io, cx| run_nibbles(&steps, &lens, source, io, cx.par()))
                    .scratch(source + result)
            }
            Unit::Strings => {
                let shapes: Vec<Shape> = shapes.iter().map(|&s| s.clone()).collect();
                FnKernel::new(name, move |io, cx| run_strings(&steps, &shapes, &lens, io, cx.par()))
            }
        }
        .boxed())
    }
}

/// Whole bytes: copies straight from inputs to outputs.
fn run_bytes(steps: &[Step], background: &Background, io: &mut Io<'_>, par: Par) -> Result<(), OpError> {
    let element = match background {
        Background::Covered => None,
        Background::Element(element) => Some(element.as_slice()),
        Background::Input(i) => Some(io.inputs.bytes(*i)?),
    };
    if let Some(element) = element.filter(|e| !e.is_empty()) {
        for output in 0..io.outputs.len() {
            fill(io.outputs.bytes(output)?, element, par);
        }
    }
    for step in steps {
        // A piece that the planner has placed in the output is there already.
        if !matches!(io.inputs.view(step.input)?.data, InputData::InPlace(_)) {
            step.plan.run(io.inputs.bytes(step.input)?, io.outputs.bytes(step.output)?, par);
        }
    }
    Ok(())
}

/// Packed elements: spread in scratch, copied there, packed again.
fn run_nibbles(
    steps: &[Step],
    lens: &[usize],
    source: usize,
    io: &mut Io<'_>,
    par: Par,
) -> Result<(), OpError> {
    let (from, to) = io.scratch.split_at_mut(source);
    for (output, &len) in lens.iter().enumerate() {
        let to = &mut to[..len];
        to.fill(0);
        for step in steps.iter().filter(|s| s.output == output) {
            let from = &mut from[..step.plan.source_bytes()];
            unpack4(io.inputs.bytes(step.input)?, from);
            step.plan.run(from, to, par);
        }
        pack4(to, io.outputs.bytes(output)?);
    }
    Ok(())
}

/// Strings: positions are copied, and then name the strings of the outputs. What no step writes is empty.
fn run_strings(
    steps: &[Step],
    shapes: &[Shape],
    lens: &[usize],
    io: &mut Io<'_>,
    par: Par,
) -> Result<(), OpError> {
    for (output, (shape, &len)) in shapes.iter().zip(lens).enumerate() {
        let mut strings: Vec<&[u8]> = vec![b""];
        let mut places = vec![0u32; len];
        for step in steps.iter().filter(|s| s.output == output) {
            let decoded = strings::decode(io.inputs.bytes(step.input)?)?;
            if decoded.len() * size_of::<u32>() < step.plan.source_bytes() {
                return Err(OpError::runtime(format!(
                    "input {} holds fewer strings than its shape",
                    step.input
                )));
            }
            let first = strings.len() as u32;
            let numbers: Vec<u32> = (0..decoded.len() as u32).map(|i| first + i).collect();
            strings.extend(decoded);
            step.plan.run(bytemuck::cast_slice(&numbers), bytemuck::cast_slice_mut(&mut places), par);
        }
        let picked: Vec<&[u8]> =
            places.iter().map(|&i| strings.get(i as usize).copied().unwrap_or_default()).collect();
        io.outputs.set_bytes(output, shape, &strings::encode(&picked)?)?;
    }
    Ok(())
}

/// The element a quantized tensor's zero is stored as: its zero point, or zero bytes.
///
/// # Errors
/// When the type has no fixed size.
pub fn zero_element(node: &Node<'_>, output: usize) -> Result<Vec<u8>, OpError> {
    let info = node.output(output)?;
    let zero = info.quantization.as_ref().and_then(|q| q.zero_point.first().copied()).unwrap_or(0);
    Ok(match info.dtype {
        TensorType::Int8 | TensorType::UInt8 => vec![zero as u8],
        TensorType::Int16 => (zero as i16).to_le_bytes().to_vec(),
        other => match Unit::of(other)? {
            Unit::Bytes(n) => vec![0; n],
            Unit::Nibbles | Unit::Strings => Vec::new(),
        },
    })
}

/// A copy of the box `start..start + len` of a dense source (with steps of its own) to the box that begins at `to` of a
/// dense destination; all lists have one entry per axis, and `start + (len - 1) * step` must lie in the source.
pub struct BoxCopy<'a> {
    /// Dimensions of the source.
    pub source: &'a [usize],
    /// First index read, per axis.
    pub start: &'a [usize],
    /// Source steps, per axis; may be negative.
    pub step: &'a [isize],
    /// Indices copied, per axis.
    pub len: &'a [usize],
    /// Dimensions of the destination.
    pub result: &'a [usize],
    /// First index written, per axis.
    pub to: &'a [usize],
    /// Destination steps, per axis.
    pub to_step: &'a [isize],
}

impl BoxCopy<'_> {
    /// The copy as starts and strides.
    #[must_use]
    pub fn strided(&self) -> (CopyEnds, Vec<CopyDim>) {
        let (from, to) = (dense_strides(self.source), dense_strides(self.result));
        let start = |strides: &[isize], at: &[usize]| -> usize {
            strides.iter().zip(at).map(|(&s, &i)| (s as usize).saturating_mul(i)).sum()
        };
        let dims = (0..self.len.len())
            .map(|i| CopyDim { len: self.len[i], src: from[i] * self.step[i], dst: to[i] * self.to_step[i] })
            .collect();
        let ends = CopyEnds {
            src_start: start(&from, self.start),
            src_len: self.source.iter().product(),
            dst_start: start(&to, self.to),
            dst_len: self.result.iter().product(),
        };
        (ends, dims)
    }
}

/// A copy that fills a dense result of dimensions `result` from the start on, its source strides given per axis.
///
/// # Errors
/// When a size does not fit in memory.
pub fn into_dense(
    source: &Shape,
    start: usize,
    result: &[usize],
    strides: &[isize],
) -> Result<(CopyEnds, Vec<CopyDim>), OpError> {
    let ends = CopyEnds {
        src_start: start,
        src_len: source.num_elements()?,
        dst_start: 0,
        dst_len: Shape::new(result).num_elements()?,
    };
    let dims = result.iter().zip(strides).zip(dense_strides(result));
    Ok((ends, dims.map(|((&len, &src), dst)| CopyDim { len, src, dst }).collect()))
}
