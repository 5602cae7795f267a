//! Float activations with integer weights.
//!
//! The activations are quantized to bytes on the way, each image (of a convolution) or each row (of a matrix product)
//! by its own range; the exact integer sums are then scaled back to floats. The reference does this in two places with
//! different rules: its default path for constant weights of signed bytes or less, its own kernels for the rest.

use std::sync::Arc;

use ferrolite_kernels::cpu::int8::depthwise::{PackedDepthwise, depthwise};
use ferrolite_kernels::cpu::int8::dynamic::{DynamicScheme, quantize_rows};
use ferrolite_kernels::cpu::int8::gemm::{Bias, Zeros, gemm, spare_bytes};
use ferrolite_kernels::cpu::int8::pack::{Bytes, PackLayout, PackedWeights, Width};
use ferrolite_kernels::cpu::int8::rows::{Dense, Rows, Window};
use ferrolite_kernels::cpu::int8::store::{FloatColumns, Rescaling, StoreFloat};
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::TensorType;
use ferrolite_model::options::ActivationFunctionType;

use super::integer::{Place, scratch_bytes};
use super::weights::{PackParams, WeightBytes, float_bias, known, pack_columns, scales};
use super::{activation, conv2d, depthwise as depthwise_op};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{Fused, LowerCx};
use crate::node::Node;

/// How the activations of a step are quantized.
#[derive(Clone, Copy)]
pub(super) struct Activations {
    pub cpu: Cpu,
    pub scheme: DynamicScheme,
    /// Elements that share a scale.
    pub run_len: usize,
    /// How many such runs there are.
    pub runs: usize,
    /// Bytes behind the last run, see [`spare_bytes`](ferrolite_kernels::cpu::int8::gemm::spare_bytes).
    pub spare: usize,
}

/// Quantized activations in scratch memory.
pub(super) struct Quantized<'a> {
    /// Bytes with [`dynamic::OFFSET`](ferrolite_kernels::cpu::int8::dynamic::OFFSET), as the zero points.
    pub data: &'a [u8],
    pub scales: &'a [f32],
    pub zeros: &'a [i32],
    /// Scratch that is left.
    pub rest: Scratch<'a>,
}

/// How the reference's kernel for rows quantized by `scheme` turns sums into floats.
pub(super) fn rescaling(scheme: DynamicScheme) -> Rescaling {
    match scheme {
        DynamicScheme::Asymmetric => Rescaling::Fused,
        DynamicScheme::AsymmetricAway | DynamicScheme::SymmetricAway => Rescaling::Product,
    }
}

impl Activations {
    /// The scratch they take.
    pub fn scratch(&self) -> ScratchSize {
        ScratchSize::new().with::<u8>(self.data_len()).with::<f32>(self.runs).with::<i32>(self.runs)
    }

    fn data_len(&self) -> usize {
        self.run_len.saturating_mul(self.runs).saturating_add(self.spare)
    }

    /// Quantizes into scratch memory.
    pub fn quantize<'a>(&self, from: &[f32], scratch: &'a mut [u8], par: Par) -> Quantized<'a> {
        let mut rest = Scratch::new(scratch);
        let data = rest.take::<u8>(self.data_len());
        let scales = rest.take::<f32>(self.runs);
        let zeros = rest.take::<i32>(self.runs);
        quantize_rows(self.cpu, self.scheme, from, self.run_len, data, scales, zeros, par);
        Quantized { data, scales, zeros, rest }
    }
}

/// Weights with what turns their sums into floats.
pub(super) struct HybridColumns {
    pub weights: PackedWeights,
    pub columns: FloatColumns,
    pub start: Bias,
}

impl HybridColumns {
    /// Signed weights, column after column; `scales` are one or one for each column, `bias` none or one for each.
    pub fn new(
        weights: PackedWeights,
        scales: &[f32],
        bias: &[f32],
        range: (f32, f32),
        rescaling: Rescaling,
    ) -> Self {
        let cols = weights.layout().cols();
        let columns = FloatColumns::new(scales, bias, cols, range, rescaling);
        Self { start: Bias::new(&[], cols), weights, columns }
    }

    /// Multiplies rows, of which `rows_per_scale` share a scale.
    #[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
    pub fn run(
        &self,
        rows: &impl Rows,
        rows_per_scale: usize,
        scales: &[f32],
        zeros: &[i32],
        out: &mut [f32],
        place: Place,
        par: Par,
        scratch: &mut [u8],
    ) {
        let store = StoreFloat {
            row_scales: scales,
            rows_per_scale,
            columns: &self.columns,
            target: place.target(out),
        };
        let zeros = Zeros::Each { zeros, rows: rows_per_scale };
        gemm(self.weights.view(), rows, zeros, &self.start, &store, par, scratch);
    }
}

/// The operands that a hybrid step packs: filter (input 1) and bias (the given input).
pub(super) struct Operands {
    pub filter: usize,
    pub bias: usize,
}

/// A kernel that prepares its weights while lowering if they are constants, and else in each run.
#[expect(clippy::too_many_arguments, reason = "one call for all hybrid operators")]
pub(super) fn kernel<P: Send + Sync + 'static>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    operands: Operands,
    layout_name: &'static str,
    mut params: PackParams,
    name: String,
    scratch: usize,
    ops: f64,
    prepare: impl Fn(Packing<'_>, &[u8], Option<&[u8]>) -> Result<P, OpError> + Send + Sync + 'static,
    run: impl Fn(&P, &mut crate::io::Io<'_>, Par) -> Result<(), OpError> + Send + Sync + 'static,
) -> Result<Box<dyn Kernel>, OpError> {
    let (filter, bias, cpu) = (node.input(operands.filter)?, node.optional(operands.bias), cx.cpu);
    params.push(operands.filter as u64);
    let prepared: Option<Arc<P>> = match filter.value {
        Some(bytes) if known(bias) => {
            let make = |packing: Packing<'_>| prepare(packing, bytes, bias.and_then(|b| b.value));
            Some(cx.packs.get_or_pack(cpu, layout_name, params.as_slice(), &[Some(filter), bias], make)?)
        }
        _ => None,
    };
    let has_bias = bias.is_some();
    Ok(FnKernel::new(name, move |io, cx| match &prepared {
        Some(prepared) => run(prepared, io, cx.par()),
        None => {
            let bias = if has_bias { Some(io.inputs.bytes(operands.bias)?) } else { None };
            run(&prepare(cpu.into(), io.inputs.bytes(operands.filter)?, bias)?, io, cx.par())
        }
    })
    .scratch(scratch)
    .ops(ops)
    .boxed())
}

/// The scheme of a convolution.
fn conv_scheme(
    node: &Node<'_>,
    option: ActivationFunctionType,
    groups: usize,
) -> Result<DynamicScheme, OpError> {
    let filter = node.input(1)?;
    let constant = filter.value.is_some() && known(node.optional(2));
    if constant && filter.info.dtype == TensorType::Int8 && conv2d::clips(option) {
        return Ok(DynamicScheme::Asymmetric);
    }
    let scales = filter.info.scales()?;
    let several = scales.iter().any(|&s| s != scales[0]);
    Ok(if several || groups > 1 { DynamicScheme::AsymmetricAway } else { DynamicScheme::SymmetricAway })
}

/// CONV_2D.
pub(super) fn lower_conv2d(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: conv2d::Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    let range_of_values = activation::clamp(option, cx)?;
    let (filter, threads) = (node.input(1)?, cx.threads.max(1));
    let (cpu, filter_type) = (cx.cpu, filter.info.dtype);
    let window = sizes.window;
    let scheme = conv_scheme(node, option, sizes.groups)?;
    // The default path treats a pointwise convolution as a matrix product: each pixel has a range of its own.
    let by_pixel = scheme == DynamicScheme::Asymmetric && window.is_pointwise() && sizes.groups == 1;
    let image_pixels = window.input[0] * window.input[1];
    let (run_len, runs) = if by_pixel {
        (window.channels, window.batch * image_pixels)
    } else {
        (image_pixels * window.channels, window.batch)
    };
    let weight_scales = scales(filter.info, 0, sizes.outputs)?;
    let (cols, depth, step) = (sizes.group_outputs(), sizes.depth(), cx.row_step(sizes.outputs));
    let layout = sizes.layout(cpu, Width::Bytes);
    let spare = if by_pixel { spare_bytes(&layout) } else { 0 };
    let activations = Activations { cpu, scheme, run_len, runs, spare };
    let mut params = PackParams::new(node);
    params.extend(&[sizes.groups]);
    params.push(layout.key());
    params.push(option.0 as u64);
    params.push(cx.activation.map_or(u64::MAX, Fused::key));
    params.push(rescaling(scheme) as u64);
    let name = format!("hybrid_conv_{}", layout.tile_name());
    let memory = sizes.scratch_bytes(&layout, threads);
    let scratch = activations.scratch().with::<u8>(memory).bytes();
    let prepare = move |packing: Packing<'_>,
                        filter: &[u8],
                        bias: Option<&[u8]>|
          -> Result<Vec<HybridColumns>, OpError> {
        let weights = WeightBytes::new(filter_type, filter, sizes.outputs * depth)?.read_as_signed();
        let bias = float_bias(bias, sizes.outputs)?;
        (0..sizes.groups)
            .map(|group| {
                let range = group * cols..(group + 1) * cols;
                let packed = pack_columns(packing, layout, &weights, group * cols, 0);
                let scales =
                    if weight_scales.len() == 1 { &weight_scales[..] } else { &weight_scales[range.clone()] };
                let bias = if bias.is_empty() { &bias[..] } else { &bias[range] };
                Ok(HybridColumns::new(packed, scales, bias, range_of_values, rescaling(scheme)))
            })
            .collect()
    };
    let run = move |groups: &Vec<HybridColumns>, io: &mut crate::io::Io<'_>, par: Par| {
        let mut x = activations.quantize(io.inputs.get(0)?, io.scratch, par);
        let out = io.outputs.get::<f32>(0)?;
        let scratch = x.rest.take::<u8>(memory);
        let pixels = window.output[0] * window.output[1];
        for (index, group) in groups.iter().enumerate() {
            let place = Place::rows(index * cols, step);
            if by_pixel {
                let rows = Dense { data: x.data, rows: runs, depth, stride: depth };
                group.run(&rows, 1, x.scales, x.zeros, out, place, par, scratch);
                continue;
            }
            let patches = sizes.patches(x.data, index);
            group.run(&patches, pixels, x.scales, x.zeros, out, place, par, scratch);
        }
        Ok(())
    };
    let operands = Operands { filter: 1, bias: 2 };
    kernel(node, cx, operands, "conv_hybrid", params, name, scratch, sizes.ops(), prepare, run)
}

/// A depthwise filter with what turns its sums into floats.
struct HybridDepthwise {
    weights: PackedDepthwise,
    columns: FloatColumns,
    start: Bias,
}

/// DEPTHWISE_CONV_2D, which the default path does not take: each image over its range, by the reference's rounding.
pub(super) fn lower_depthwise(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: depthwise_op::Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    let range = activation::clamp(option, cx)?;
    let (filter, threads) = (node.input(1)?, cx.threads.max(1));
    let outputs = sizes.outputs();
    let weight_scales = scales(filter.info, 3, outputs)?;
    if weight_scales.len() != outputs {
        return Err(OpError::invalid(
            "integer weights of a depthwise convolution of floats need one scale for each output channel",
        ));
    }
    let (cpu, filter_type) = (cx.cpu, filter.info.dtype);
    let window = sizes.window;
    let activations = Activations {
        cpu,
        scheme: DynamicScheme::AsymmetricAway,
        run_len: window.input[0] * window.input[1] * window.channels,
        runs: window.batch,
        spare: 0,
    };
    // One image at a time: each has a zero point of its own.
    let image = Window { batch: 1, ..window };
    let strip = depthwise_op::strip_len(cpu, &image)?;
    let mut params = PackParams::new(node);
    params.push(option.0 as u64);
    params.push(cx.activation.map_or(u64::MAX, Fused::key));
    let scratch = activations.scratch().with::<i32>(strip * threads).bytes();
    let prepare = move |packing: Packing<'_>, filter: &[u8], bias: Option<&[u8]>| {
        let weights = WeightBytes::new(filter_type, filter, sizes.filter_len())?;
        let bytes = Bytes::Signed(weights.as_signed());
        let bias = float_bias(bias, outputs)?;
        Ok(HybridDepthwise {
            weights: PackedDepthwise::new(
                packing,
                Width::Bytes,
                bytes,
                &[0],
                window.kernel,
                window.channels,
                sizes.multiplier,
            ),
            columns: FloatColumns::new(&weight_scales, &bias, outputs, range, Rescaling::ColumnFirst),
            start: Bias::new(&[], outputs),
        })
    };
    let run = move |conv: &HybridDepthwise, io: &mut crate::io::Io<'_>, par: Par| {
        let mut x = activations.quantize(io.inputs.get(0)?, io.scratch, par);
        let out = io.outputs.get::<f32>(0)?;
        let scratch = x.rest.take::<i32>(strip * threads);
        let out_len = window.output[0] * window.output[1] * outputs;
        for index in 0..window.batch {
            let store = StoreFloat {
                row_scales: &x.scales[index..],
                rows_per_scale: usize::MAX,
                columns: &conv.columns,
                target: Place::rows(index * out_len, outputs).target(out),
            };
            let data = &x.data[index * activations.run_len..][..activations.run_len];
            depthwise(&conv.weights, data, x.zeros[index], &image, &conv.start, &store, par, scratch);
        }
        Ok(())
    };
    let [kh, kw] = window.kernel;
    let name = format!("hybrid_depthwise_{kh}x{kw}_{}", cpu.name());
    let operands = Operands { filter: 1, bias: 2 };
    kernel(node, cx, operands, "depthwise_hybrid", params, name, scratch, sizes.ops(), prepare, run)
}

/// Rows of floats times a matrix of integer weights, each row over its own range.
#[derive(Clone, Copy)]
pub(super) struct RowProduct {
    pub activations: Activations,
    pub layout: PackLayout,
    /// Threads that scratch is meant for.
    pub threads: usize,
}

impl RowProduct {
    /// Products of `rows` rows of `depth` elements with `cols` columns.
    pub fn new(cx: &LowerCx<'_>, scheme: DynamicScheme, rows: usize, cols: usize, depth: usize) -> Self {
        let layout = PackLayout::new(cx.cpu, Width::Bytes, cols, depth);
        let spare = spare_bytes(&layout);
        let activations = Activations { cpu: cx.cpu, scheme, run_len: depth, runs: rows, spare };
        Self { activations, layout, threads: cx.threads.max(1) }
    }

    /// Bytes of scratch that [`RowProduct::run`] takes.
    pub fn scratch_bytes(&self) -> usize {
        self.activations.scratch().bytes() + scratch_bytes(&self.layout, self.threads)
    }

    /// Multiplies all rows of `x` into `out`.
    pub fn run(&self, weights: &HybridColumns, x: &[f32], out: &mut [f32], par: Par, scratch: &mut [u8]) {
        let mut x = self.activations.quantize(x, scratch, par);
        let scratch = x.rest.take::<u8>(scratch_bytes(&self.layout, self.threads));
        let depth = self.activations.run_len;
        let rows = Dense { data: x.data, rows: self.activations.runs, depth, stride: depth };
        weights.run(&rows, 1, x.scales, x.zeros, out, Place::rows(0, self.layout.cols()), par, scratch);
    }
}
