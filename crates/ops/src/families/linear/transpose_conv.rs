//! TRANSPOSE_CONV: the gradient of a convolution as an operator.
//!
//! Integer forms run as one ordinary convolution for each phase of the stride: the output pixels of a phase meet every
//! stride-th tap of the filter, in reverse.

use std::cell::OnceCell;
use std::sync::Arc;

use ferrolite_kernels::cpu::float::conv::{TransposeConvF32, TransposeConvShape, TransposeConvWeightsF32};
use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::int8::dynamic::DynamicScheme;
use ferrolite_kernels::cpu::int8::gemm::{Bias, windows_scratch};
use ferrolite_kernels::cpu::int8::pack::{PackLayout, PackedWeights, Width};
use ferrolite_kernels::cpu::int8::rows::{Activation, Patches, Window};
use ferrolite_kernels::cpu::int8::store::PixelMap;
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;
use ferrolite_model::options::{ActivationFunctionType, Padding, TransposeConvOptionsT};

use super::activation;
use super::conv2d::{clips, type_name};
use super::geometry::{no_zeros, positive, rank4};
use super::hybrid::{self, Activations, HybridColumns, Operands};
use super::integer::{Columns, Place, width};
use super::requant::{Requant, choose};
use super::weights::{PackParams, WeightBytes, bias, columns, float_bias, floats, known, scales, zero_point};
use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{Fused, LowerCx};
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// The sizes of a transposed convolution.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    input: [usize; 2],
    channels: usize,
    output: [usize; 2],
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Rows and columns cut off before the output.
    before: [usize; 2],
}

impl Sizes {
    fn ops(&self) -> f64 {
        let pixels = (self.batch * self.input[0] * self.input[1]) as f64;
        2.0 * pixels * (self.kernel[0] * self.kernel[1] * self.channels * self.outputs) as f64
    }

    fn filter_len(&self) -> usize {
        self.outputs * self.kernel[0] * self.kernel[1] * self.channels
    }

    /// Taps of a phase along an axis whose first tap is `first`.
    fn taps(&self, axis: usize, first: usize) -> usize {
        self.kernel[axis].saturating_sub(first).div_ceil(self.stride[axis])
    }

    /// The phases that have output pixels.
    fn phases(&self) -> Vec<Phase> {
        let mut phases = Vec::new();
        for y in 0..self.stride[0].min(self.output[0]) {
            for x in 0..self.stride[1].min(self.output[1]) {
                let at = [y, x];
                let padded: [usize; 2] = core::array::from_fn(|axis| at[axis] + self.before[axis]);
                let first: [usize; 2] = core::array::from_fn(|axis| padded[axis] % self.stride[axis]);
                let taps: [usize; 2] = core::array::from_fn(|axis| self.taps(axis, first[axis]));
                let count: [usize; 2] =
                    core::array::from_fn(|axis| (self.output[axis] - at[axis]).div_ceil(self.stride[axis]));
                let padding = core::array::from_fn(|axis| {
                    taps[axis] as isize - 1 - (padded[axis] / self.stride[axis]) as isize
                });
                phases.push(Phase {
                    first,
                    window: Window {
                        batch: self.batch,
                        input: self.input,
                        channels: self.channels,
                        output: count,
                        kernel: taps,
                        stride: [1, 1],
                        dilation: [1, 1],
                        padding,
                    },
                    map: PixelMap { count, first: at, step: self.stride, image: self.output },
                });
            }
        }
        phases
    }

    /// The filter's part for the phase with the first taps `first`, as columns of one output channel each.
    fn part(&self, filter: &[i8], first: [usize; 2]) -> Vec<i8> {
        let taps = [self.taps(0, first[0]), self.taps(1, first[1])];
        let depth = taps[0] * taps[1] * self.channels;
        let mut part = Vec::with_capacity(self.outputs * depth);
        for output in 0..self.outputs {
            for ty in (0..taps[0]).rev() {
                for tx in (0..taps[1]).rev() {
                    let (y, x) = (first[0] + ty * self.stride[0], first[1] + tx * self.stride[1]);
                    let at = ((output * self.kernel[0] + y) * self.kernel[1] + x) * self.channels;
                    part.extend_from_slice(&filter[at..][..self.channels]);
                }
            }
        }
        part
    }
}

/// Each position modulo the stride is a convolution of its own; this bounds their number.
const MOST_STRIDE: usize = 256;

/// The output pixels at one position modulo the stride, as an ordinary convolution.
struct Phase {
    first: [usize; 2],
    window: Window,
    map: PixelMap,
}

fn sizes(node: &Node<'_>) -> Result<(Sizes, ActivationFunctionType), InferError> {
    let options = node.options::<TransposeConvOptionsT>()?;
    let wanted = node.ints(0)?;
    let [outputs, kernel_h, kernel_w, depth] = rank4(node.shape(1)?, "filter")?;
    let [batch, height, width, channels] = rank4(node.shape(2)?, "input")?;
    let output: Option<Vec<usize>> = wanted.iter().map(|&d| usize::try_from(d).ok()).collect();
    let output = match output.as_deref() {
        Some(&[b, h, w, c]) if b == batch && c == outputs => [h, w],
        _ => {
            let message = format!(
                "the output shape {wanted:?} must be [{batch}, height, width, {outputs}] for this input and filter"
            );
            return Err(OpError::invalid(message).into());
        }
    };
    no_zeros(&[outputs, kernel_h, kernel_w, depth], "filter")?;
    if depth != channels {
        let message = format!("the filter is for {depth} input channels, the input has {channels}");
        return Err(OpError::invalid(message).into());
    }
    let kernel = [kernel_h, kernel_w];
    let stride = [positive(options.stride_h, "stride")?, positive(options.stride_w, "stride")?];
    if stride.iter().any(|&s| s > MOST_STRIDE) {
        let message = format!("strides of transposed convolutions are at most {MOST_STRIDE}, not {stride:?}");
        return Err(OpError::unsupported(message).into());
    }
    let before = core::array::from_fn(|axis| match options.padding {
        // The padding of the convolution from the output to the input.
        Padding::SAME => {
            let covered = output[axis].div_ceil(stride[axis]).saturating_sub(1) * stride[axis] + kernel[axis];
            covered.saturating_sub(output[axis]) / 2
        }
        _ => 0,
    });
    let sizes = Sizes { batch, input: [height, width], channels, output, outputs, kernel, stride, before };
    Ok((sizes, options.fused_activation_function))
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (sizes, _) = sizes(node)?;
    Ok(one(Shape::from([sizes.batch, sizes.output[0], sizes.output[1], sizes.outputs])))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (sizes, option) = sizes(node).map_err(|e| match e {
        InferError::Op(e) => e,
        InferError::NeedsValue(_) => OpError::invalid("the output shape is not known while planning"),
    })?;
    match (node.dtype(2)?, node.dtype(1)?) {
        (TensorType::Float32, TensorType::Float32) => lower_float(node, cx, sizes, option),
        (TensorType::Float32, _) => lower_hybrid(node, cx, sizes, option),
        (TensorType::Int8, _) => lower_integer::<i8>(node, cx, sizes, option),
        (TensorType::UInt8, _) => lower_integer::<u8>(node, cx, sizes, option),
        _ => lower_integer::<i16>(node, cx, sizes, option),
    }
}

fn lower_float(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    let epilogue = Epilogue::new(activation::float(option, cx)?);
    let (cpu, step) = (cx.cpu, cx.row_step(sizes.outputs));
    let shape = TransposeConvShape {
        batch: sizes.batch,
        input: [1, sizes.input[0], sizes.input[1]],
        in_channels: sizes.channels,
        output: [1, sizes.output[0], sizes.output[1]],
        out_channels: sizes.outputs,
        kernel: [1, sizes.kernel[0], sizes.kernel[1]],
        stride: [1, sizes.stride[0], sizes.stride[1]],
        pad_before: [0, sizes.before[0], sizes.before[1]],
    };
    let (filter, bias) = (node.input(1)?, node.optional(3));
    if let (Some(bytes), true) = (filter.value, known(bias)) {
        let mut params = PackParams::new(node);
        params.extend(&sizes.stride);
        let operands = [Some(filter), bias];
        let weights =
            cx.packs.get_or_pack(cpu, "transpose_conv_f32", params.as_slice(), &operands, |packing| {
                let bias = bias.and_then(|b| b.value).map(floats);
                Ok(TransposeConvWeightsF32::new(packing, &shape, &floats(bytes), bias.as_deref())?)
            })?;
        let conv = TransposeConvF32::new(shape, (*weights).clone())?.spaced(step)?;
        let (name, scratch) = (conv.name(), conv.scratch_bytes(Par::new(cx.threads)));
        return Ok(FnKernel::new(name, move |io, cx| {
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            Ok(conv.run(io.inputs.get(2)?, io.outputs.get(0)?, scratch, &epilogue, cx.par())?)
        })
        .scratch(scratch)
        .ops(sizes.ops())
        .boxed());
    }
    Ok(FnKernel::new("f32_transpose_conv_unpacked", move |io, cx| {
        let bias = io.inputs.optional(3)?;
        let weights = TransposeConvWeightsF32::new(cpu, &shape, io.inputs.get(1)?, bias)?;
        let conv = TransposeConvF32::new(shape, weights)?.spaced(step)?;
        let mut scratch = vec![0.0; conv.scratch_bytes(cx.par()) / size_of::<f32>()];
        Ok(conv.run(io.inputs.get(2)?, io.outputs.get(0)?, &mut scratch, &epilogue, cx.par())?)
    })
    .ops(sizes.ops())
    .boxed())
}

/// Packs the filter's part for each phase.
fn pack_phases<'a>(
    packing: Packing<'a>,
    width: Width,
    sizes: &'a Sizes,
    weights: &'a WeightBytes<'_>,
    zero: i32,
) -> impl Iterator<Item = PackedWeights> + 'a {
    sizes.phases().into_iter().map(move |phase| {
        let layout = phase_layout(packing.cpu(), width, sizes, &phase);
        let part = OnceCell::new();
        PackedWeights::lazily(packing, layout, weights.signed_zero(zero), || {
            let part = part.get_or_init(|| sizes.part(weights.as_signed(), phase.first));
            columns(weights.of(bytemuck::cast_slice(part)), zero, sizes.outputs, layout.depth())
        })
    })
}

/// How the filter's part for a phase is packed.
fn phase_layout(cpu: Cpu, width: Width, sizes: &Sizes, phase: &Phase) -> PackLayout {
    PackLayout::for_windows(cpu, width, sizes.outputs, &phase.window, sizes.channels)
}

/// Bytes of scratch that the phases' products take on `threads` threads.
fn phases_scratch(cpu: Cpu, width: Width, sizes: &Sizes, threads: usize) -> usize {
    let of = |phase: Phase| {
        windows_scratch(&phase_layout(cpu, width, sizes, &phase), &phase.window, sizes.channels)
    };
    sizes.phases().into_iter().map(of).max().unwrap_or(0).saturating_mul(threads.max(1))
}

/// What the packing of a filter depends on besides it.
fn pack_params(node: &Node<'_>, cpu: Cpu, width: Width, sizes: &Sizes) -> PackParams {
    let mut params = PackParams::new(node);
    params.extend(&[sizes.stride, sizes.before, sizes.output].concat());
    for phase in sizes.phases() {
        params.push(phase_layout(cpu, width, sizes, &phase).key());
    }
    params
}

/// The windows of a phase in the input.
fn patches<'a, X>(data: &'a [X], phase: &Phase, sizes: &Sizes) -> Patches<'a, X> {
    Patches { data, window: phase.window, first_channel: 0, channels: sizes.channels }
}

fn lower_integer<X: Activation + Element>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let (filter, bias_operand, output) = (node.input(1)?, node.optional(3), node.output(0)?);
    let (input_scale, input_zero) = node.input(2)?.info.per_tensor()?;
    let weight_scales = scales(filter.info, 0, sizes.outputs)?;
    let weight_zero = zero_point(filter.info)?;
    let bias_type = bias_operand.map(|b| b.info.dtype);
    let constant = filter.value.is_some() && known(bias_operand);
    // Without a bias an option says how wide the sums are.
    let option_type = TensorType::from_schema(node.options::<TransposeConvOptionsT>()?.quantized_bias_type);
    let narrow = option_type == Some(TensorType::Int32);
    let sum_type = bias_type.or(narrow.then_some(TensorType::Int32));
    let arithmetic = choose(constant && clips(option), X::DTYPE, sum_type).by_eight(X::DTYPE);
    let (filter_type, output_info, cpu) = (filter.info.dtype, output.clone(), cx.cpu);
    let prepare =
        move |packing: Packing<'_>, filter: &[u8], bias_bytes: &[u8]| -> Result<Vec<Columns>, OpError> {
            let weights = WeightBytes::new(filter_type, filter, sizes.filter_len())?;
            let bias = bias(bias_type, bias_bytes, sizes.outputs)?;
            let requant = Requant {
                arithmetic,
                input_scale,
                weight_scales: &weight_scales,
                output: &output_info,
                activation: option,
            };
            pack_phases(packing, width(X::DTYPE), &sizes, &weights, weight_zero)
                .map(|weights| {
                    let (finish, start) = requant.finish(&bias, sizes.outputs)?;
                    Ok(Columns { weights, bias: Bias::new(&start, sizes.outputs), finish })
                })
                .collect()
        };
    let prepared: Option<Arc<Vec<Columns>>> = match filter.value {
        Some(bytes) if constant => {
            let mut params = pack_params(node, cpu, width(X::DTYPE), &sizes);
            params.push(option.0 as u64);
            let bias_bytes = bias_operand.and_then(|b| b.value).unwrap_or_default();
            let make = |packing: Packing<'_>| prepare(packing, bytes, bias_bytes);
            let operands = [Some(filter), bias_operand];
            Some(cx.packs.get_or_pack(cpu, "transpose_conv_int", params.as_slice(), &operands, make)?)
        }
        _ => None,
    };
    let layout = PackLayout::new(cpu, width(X::DTYPE), sizes.outputs, sizes.channels);
    let name = format!("{}_transpose_conv_{}", type_name(X::DTYPE), layout.tile_name());
    let (phases, step) = (sizes.phases(), cx.row_step(sizes.outputs));
    let run = move |columns: &[Columns], io: &mut Io<'_>, par| {
        let data = io.inputs.get::<X>(2)?;
        for (phase, columns) in phases.iter().zip(columns) {
            let place = Place { first: 0, stride: step, map: Some(phase.map) };
            let rows = patches(data, phase, &sizes);
            columns.run(&rows, input_zero, &mut io.outputs, place, par, io.scratch)?;
        }
        Ok(())
    };
    Ok(FnKernel::new(name, move |io, cx| match &prepared {
        Some(columns) => run(columns, io, cx.par()),
        None => {
            let bias = if bias_type.is_some() { io.inputs.bytes(3)? } else { &[] };
            run(&prepare(cpu.into(), io.inputs.bytes(1)?, bias)?, io, cx.par())
        }
    })
    .scratch(phases_scratch(cpu, width(X::DTYPE), &sizes, cx.threads))
    .ops(sizes.ops())
    .boxed())
}

fn lower_hybrid(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    let range = activation::clamp(option, cx)?;
    let (filter, threads, cpu) = (node.input(1)?, cx.threads.max(1), cx.cpu);
    let constant = filter.value.is_some() && known(node.optional(3));
    let scheme =
        if constant && clips(option) { DynamicScheme::Asymmetric } else { DynamicScheme::AsymmetricAway };
    let run_len = sizes.input[0] * sizes.input[1] * sizes.channels;
    let activations = Activations { cpu, scheme, run_len, runs: sizes.batch, spare: 0 };
    let weight_scales = scales(filter.info, 0, sizes.outputs)?;
    let filter_type = filter.info.dtype;
    let memory = phases_scratch(cpu, Width::Bytes, &sizes, threads);
    let mut params = pack_params(node, cpu, Width::Bytes, &sizes);
    params.push(option.0 as u64);
    params.push(cx.activation.map_or(u64::MAX, Fused::key));
    let prepare = move |packing: Packing<'_>,
                        filter: &[u8],
                        bias: Option<&[u8]>|
          -> Result<Vec<HybridColumns>, OpError> {
        let weights = WeightBytes::new(filter_type, filter, sizes.filter_len())?;
        let bias = float_bias(bias, sizes.outputs)?;
        let phases = pack_phases(packing, Width::Bytes, &sizes, &weights, 0);
        let columns =
            |packed| HybridColumns::new(packed, &weight_scales, &bias, range, hybrid::rescaling(scheme));
        Ok(phases.map(columns).collect())
    };
    let (phases, step) = (sizes.phases(), cx.row_step(sizes.outputs));
    let run = move |columns: &Vec<HybridColumns>, io: &mut Io<'_>, par: Par| {
        let mut x = activations.quantize(io.inputs.get(2)?, io.scratch, par);
        let out = io.outputs.get::<f32>(0)?;
        let memory = x.rest.take::<u8>(memory);
        for (phase, columns) in phases.iter().zip(columns) {
            let place = Place { first: 0, stride: step, map: Some(phase.map) };
            let pixels = phase.window.output[0] * phase.window.output[1];
            let rows = patches(x.data, phase, &sizes);
            columns.run(&rows, pixels, x.scales, x.zeros, out, place, par, memory);
        }
        Ok(())
    };
    let layout = PackLayout::new(cpu, Width::Bytes, sizes.outputs, sizes.channels);
    let name = format!("hybrid_transpose_conv_{}", layout.tile_name());
    let scratch = activations.scratch().with::<u8>(memory).bytes();
    let operands = Operands { filter: 1, bias: 3 };
    hybrid::kernel(
        node,
        cx,
        operands,
        "transpose_conv_hybrid",
        params,
        name,
        scratch,
        sizes.ops(),
        prepare,
        run,
    )
}
