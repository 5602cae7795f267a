//! FULLY_CONNECTED: rows times a matrix of weights `[units, depth]`.

use std::sync::Arc;

use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::float::gemm::{PackedF32, gemm_f32};
use ferrolite_kernels::cpu::float::stored::StoredFloats;
use ferrolite_kernels::cpu::int8::dynamic::DynamicScheme;
use ferrolite_kernels::cpu::int8::exact::StoreExact;
use ferrolite_kernels::cpu::int8::fixed::{WideFixedPoint, WideRounding};
use ferrolite_kernels::cpu::int8::gemm::Bias;
use ferrolite_kernels::cpu::int8::pack::PackLayout;
use ferrolite_kernels::cpu::int8::rows::{Activation, Dense};
use ferrolite_kernels::cpu::int8::store::Target;
use ferrolite_kernels::cpu::int8::words::{WordMatrix, multiply_words};
use ferrolite_kernels::packing::Packing;
use ferrolite_model::TensorType;
use ferrolite_model::options::{
    ActivationFunctionType, FullyConnectedOptionsT, FullyConnectedOptionsWeightsFormat,
};

use super::conv2d::{clips, type_name};
use super::hybrid::{self, HybridColumns, Operands, RowProduct};
use super::integer::{Columns, Finish, Place, scratch_bytes, width};
use super::requant::{Arithmetic, Requant, choose};
use super::weights::{
    FloatWeights, PackParams, WeightBytes, bias, float_bias, floats, known, pack_columns, scales, zero_point,
};
use super::{activation, blockwise, shuffled};
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{ADDEND, Fused, LowerCx};
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// The types of a product of floats.
const FLOATS: (TensorType, TensorType) = (TensorType::Float32, TensorType::Float32);

/// The sizes of a product.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub rows: usize,
    pub units: usize,
    pub depth: usize,
}

impl Sizes {
    fn ops(&self) -> f64 {
        2.0 * self.rows as f64 * self.units as f64 * self.depth as f64
    }
}

/// The version that stands for sparse weights.
const SPARSE_VERSION: i32 = 8;

/// Whether the reference's default path refuses the operator whatever its operands are: it knows dense weights only, and
/// tells by the version.
fn is_refused(node: &Node<'_>) -> bool {
    node.operator.version == SPARSE_VERSION
}

fn sizes(node: &Node<'_>) -> Result<Sizes, OpError> {
    let (input, weights) = (node.shape(0)?, node.shape(1)?);
    let &[units, depth] = &weights[..] else {
        return Err(OpError::invalid(format!("the weights must have rank 2, their shape is {weights}")));
    };
    let count = input.num_elements()?;
    // Rows without elements are counted by the dimensions that they lie along.
    let rows = match input.split_last() {
        Some((0, outer)) if depth == 0 => Some(Shape::new(outer).num_elements()?),
        _ if depth != 0 && count % depth == 0 => Some(count / depth),
        _ => None,
    };
    let Some(rows) = rows else {
        return Err(OpError::invalid(format!(
            "an input of shape {input} does not divide into rows of {depth} elements, as the weights {weights} need"
        )));
    };
    Ok(Sizes { rows, units, depth })
}

/// Whether the weights are stored in tiles; the operator then has a second output.
fn is_shuffled(node: &Node<'_>, sizes: Sizes) -> Result<bool, OpError> {
    let format = node.options::<FullyConnectedOptionsT>()?.weights_format;
    let shuffled = format != FullyConnectedOptionsWeightsFormat::DEFAULT;
    if shuffled {
        shuffled::check(sizes.rows, sizes.units, sizes.depth)?;
    }
    let (weights, outputs) = (node.dtype(1)?, node.outputs.len());
    let fits = if shuffled {
        weights == TensorType::UInt8 && node.output(0)?.dtype == TensorType::Int16 && outputs == 2
    } else {
        outputs == 1
    };
    if fits {
        return Ok(shuffled);
    }
    Err(OpError::invalid(format!(
        "{weights} weights in the format {format:?} with {outputs} outputs: shuffled weights are uint8 and give two outputs, \
         all others give one"
    )))
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let sizes = sizes(node)?;
    let input = node.shape(0)?;
    let shuffled = is_shuffled(node, sizes)?;
    if !node.options::<FullyConnectedOptionsT>()?.keep_num_dims {
        let mut shapes = one(Shape::from([sizes.rows, sizes.units]));
        shapes.extend(shuffled.then(|| input.clone().into()));
        return Ok(shapes);
    }
    match input.split_last() {
        Some((&last, outer)) if last == sizes.depth => {
            let mut shape = Shape::new(outer);
            shape.push(sizes.units);
            let mut shapes = one(shape);
            shapes.extend(shuffled.then(|| input.clone().into()));
            Ok(shapes)
        }
        _ => Err(OpError::invalid(format!(
            "the last dimension of the input {input} must be the weights' {} to keep its dimensions",
            sizes.depth
        ))
        .into()),
    }
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (sizes, options) = (sizes(node)?, node.options::<FullyConnectedOptionsT>()?);
    let option = options.fused_activation_function;
    match (node.dtype(0)?, node.dtype(1)?) {
        (input, weights) if sizes.depth == 0 && (input, weights) != FLOATS => Err(OpError::unsupported(
            format!("rows without elements are taken of floats only, not of {input} by {weights}"),
        )),
        FLOATS => lower_float(node, cx, sizes, option),
        (TensorType::Float32, _) => lower_hybrid(node, cx, sizes, &options),
        (TensorType::Int16, TensorType::Int16) => lower_words(node, cx, sizes, option),
        // The reference reads the bytes as unsigned when the output is of another type.
        (TensorType::Int8, _) if node.output(0)?.dtype != TensorType::Int8 => {
            lower_integer::<u8>(node, cx, sizes, option)
        }
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
    let activation = activation::float(option, cx)?;
    let Sizes { rows, units, depth } = sizes;
    let (weights, bias, cpu) = (node.input(1)?, node.optional(2), cx.cpu);
    let pack = move |packing: Packing<'_>, weights: StoredFloats<'_>, bias: Option<&[f32]>| {
        PackedF32::new(packing, units, depth, weights, bias).map_err(OpError::from)
    };
    let run = move |packed: &PackedF32, x: &[f32], residual: Option<&[f32]>, out: &mut [f32], par| {
        let epilogue = Epilogue { activation, residual };
        gemm_f32(x, rows, depth, packed, out, units, &epilogue, par).map_err(OpError::from)
    };
    let kernel = match FloatWeights::of(weights) {
        Some(stored) if known(bias) => {
            let mut params = PackParams::new(node);
            let stored = stored.stored_for(rows, &mut params);
            let operands = [Some(weights), bias];
            let packed = cx.packs.get_or_pack(cpu, "dense_f32", params.as_slice(), &operands, |packing| {
                pack(packing, stored, bias.and_then(|b| b.value).map(floats).as_deref())
            })?;
            FnKernel::new(packed.name(), move |io, cx| {
                let residual = io.inputs.optional(ADDEND)?;
                run(&packed, io.inputs.get(0)?, residual, io.outputs.get(0)?, cx.par())
            })
        }
        _ => FnKernel::new("f32_gemm_unpacked", move |io, cx| {
            let packed = pack(cpu.into(), StoredFloats::Single(io.inputs.get(1)?), io.inputs.optional(2)?)?;
            run(&packed, io.inputs.get(0)?, None, io.outputs.get(0)?, cx.par())
        }),
    };
    Ok(kernel.ops(sizes.ops()).boxed())
}

fn lower_integer<X: Activation + Element>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let (weights, bias_operand, output) = (node.input(1)?, node.optional(2), node.output(0)?);
    let (input_scale, input_zero) = node.input(0)?.info.per_tensor()?;
    let weight_scales = scales(weights.info, 0, sizes.units)?;
    let shuffled = is_shuffled(node, sizes)?;
    // The reference's kernel for shuffled weights leaves the activation out.
    let option = if shuffled { ActivationFunctionType::NONE } else { option };
    let (input_zero, weight_zero) = match shuffled {
        true => (shuffled::ZERO_POINT, shuffled::ZERO_POINT),
        false => (input_zero, zero_point(weights.info)?),
    };
    let bias_type = bias_operand.map(|b| b.info.dtype);
    let constant = weights.value.is_some() && known(bias_operand);
    let arithmetic = if shuffled { Arithmetic::Fixed } else { arithmetic(node, constant, option)? };
    let (output_info, cpu) = (output.clone(), cx.cpu);
    let layout = PackLayout::new(cpu, width(X::DTYPE), sizes.units, sizes.depth);
    let weights_type = if X::DTYPE == TensorType::UInt8 { X::DTYPE } else { weights.info.dtype };
    let prepare =
        move |packing: Packing<'_>, weights: &[u8], bias_bytes: &[u8]| -> Result<Columns, OpError> {
            let Sizes { units, depth, .. } = sizes;
            let weights = WeightBytes::new(weights_type, weights, units * depth)?;
            let weights = if shuffled { weights.shuffled(depth) } else { weights };
            let bias = bias(bias_type, bias_bytes, units)?;
            let requant = Requant {
                arithmetic,
                input_scale,
                weight_scales: &weight_scales,
                output: &output_info,
                activation: option,
            };
            let (finish, start) = requant.finish(&bias, units)?;
            let weights = pack_columns(packing, layout, &weights, 0, weight_zero);
            Ok(Columns { weights, bias: Bias::new(&start, units), finish })
        };
    let prepared: Option<Arc<Columns>> = match weights.value {
        Some(bytes) if constant => {
            let mut params = PackParams::new(node);
            params.push(option.0 as u64);
            params.push(u64::from(shuffled));
            params.push(u64::from(is_refused(node)));
            let bias_bytes = bias_operand.and_then(|b| b.value).unwrap_or_default();
            let operands = [Some(weights), bias_operand];
            let make = |packing: Packing<'_>| prepare(packing, bytes, bias_bytes);
            Some(cx.packs.get_or_pack(cpu, "dense_int", params.as_slice(), &operands, make)?)
        }
        _ => None,
    };
    let name = format!("{}_gemm_{}", type_name(X::DTYPE), layout.tile_name());
    let run = move |columns: &Columns, io: &mut crate::io::Io<'_>, par| {
        let data = bytemuck::try_cast_slice::<u8, X>(io.inputs.bytes(0)?)
            .map_err(|e| OpError::invalid(format!("the input's memory does not fit its type: {e}")))?;
        let rows = Dense { data, rows: sizes.rows, depth: sizes.depth, stride: sizes.depth };
        columns.run(&rows, input_zero, &mut io.outputs, Place::rows(0, sizes.units), par, io.scratch)?;
        if shuffled {
            shuffled::shuffle(io.inputs.bytes(0)?, sizes.depth, io.outputs.bytes(1)?);
        }
        Ok(())
    };
    Ok(FnKernel::new(name, move |io, cx| match &prepared {
        Some(columns) => run(columns, io, cx.par()),
        None => {
            let bias = if bias_type.is_some() { io.inputs.bytes(2)? } else { &[] };
            run(&prepare(cpu.into(), io.inputs.bytes(1)?, bias)?, io, cx.par())
        }
    })
    .scratch(scratch_bytes(&layout, cx.threads))
    .ops(sizes.ops())
    .boxed())
}

/// Which way a dense layer is requantized.
fn arithmetic(
    node: &Node<'_>,
    constant: bool,
    option: ActivationFunctionType,
) -> Result<Arithmetic, OpError> {
    let (input, weights, output) = (node.dtype(0)?, node.dtype(1)?, node.output(0)?.dtype);
    let bias = node.optional(2).map(|b| b.info.dtype);
    if output == TensorType::Int16 {
        // The matrix product takes only what needs no zero points and no sums of 64 bits.
        let biased = bias == Some(TensorType::Int64)
            || TensorType::from_schema(node.options::<FullyConnectedOptionsT>()?.quantized_bias_type)
                == Some(TensorType::Int64);
        let zeros = [node.input(0)?.info, node.input(1)?.info, node.output(0)?];
        let centred =
            zeros.into_iter().try_fold(true, |all, info| Ok::<_, OpError>(all && zero_point(info)? == 0))?;
        let exact = input == TensorType::Int16 && (biased || !centred);
        return Ok(if exact { Arithmetic::Wide(WideRounding::Double) } else { Arithmetic::FixedUpwards });
    }
    let depth = node.shape(1)?.last().copied().unwrap_or(0);
    let whole_bytes = match weights {
        TensorType::Int4 => depth % 2 == 0,
        TensorType::Int2 => depth % 4 == 0,
        _ => weights == input,
    };
    let zero = weights == TensorType::UInt8 || zero_point(node.input(1)?.info)? == 0;
    let delegated = !is_refused(node) && constant && whole_bytes && zero && clips(option);
    Ok(choose(delegated, output, bias).by_product(output, true))
}

/// 16-bit activations times 16-bit weights.
fn lower_words(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let (weights, bias_operand, output) = (node.input(1)?, node.optional(2), node.output(0)?.clone());
    let (input_scale, _) = node.input(0)?.info.per_tensor()?;
    let weight_scales = scales(weights.info, 0, sizes.units)?;
    let bias_type = bias_operand.map(|b| b.info.dtype);
    let prepare = move |bias_bytes: &[u8]| -> Result<WideFixedPoint, OpError> {
        let bias = bias(bias_type, bias_bytes, sizes.units)?;
        let requant = Requant {
            arithmetic: Arithmetic::Wide(WideRounding::Fixed),
            input_scale,
            weight_scales: &weight_scales,
            output: &output,
            activation: option,
        };
        match requant.finish(&bias, sizes.units)? {
            (Finish::Wide(fixed), _) => Ok(fixed),
            _ => Err(OpError::unsupported("16-bit weights give 16-bit outputs")),
        }
    };
    let prepared = match bias_operand {
        None => Some(prepare(&[])?),
        Some(bias) => bias.value.map(&prepare).transpose()?,
    };
    Ok(FnKernel::new("i16_product", move |io, cx| {
        let made;
        let fixed = match &prepared {
            Some(fixed) => fixed,
            None => {
                made = prepare(io.inputs.bytes(2)?)?;
                &made
            }
        };
        let Sizes { rows, units, depth } = sizes;
        let left = WordMatrix { data: io.inputs.get(0)?, count: rows, stride: depth, depth_stride: 1 };
        let right = WordMatrix { data: io.inputs.get(1)?, count: units, stride: depth, depth_stride: 1 };
        let store = StoreExact::Words(fixed, Target::new(io.outputs.get(0)?, 0, units));
        multiply_words(left, right, depth, &store, cx.par());
        Ok(())
    })
    .ops(sizes.ops())
    .boxed())
}

/// Whether the reference's own kernel takes the weights in blocks of 4 rows by 32 columns of four bits, which it multiplies
/// with activations around zero.
fn knows_no_zero_points(node: &Node<'_>, Sizes { units, depth, .. }: Sizes) -> bool {
    let packed = node.input(1).is_ok_and(|w| w.info.dtype == TensorType::Int4 && w.value.is_some());
    packed && depth.is_multiple_of(2) && depth >= 32 && units >= 4
}

fn lower_hybrid(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    options: &FullyConnectedOptionsT,
) -> Result<Box<dyn Kernel>, OpError> {
    let option = options.fused_activation_function;
    let Sizes { rows, units, depth } = sizes;
    let weights = node.input(1)?;
    if let Some(block) = blockwise::block_size(weights.info) {
        // The reference's own kernel for blocks leaves the activation out.
        let (scheme, option) = match is_refused(node) {
            true => (DynamicScheme::AsymmetricAway, ActivationFunctionType::NONE),
            false => (DynamicScheme::Asymmetric, option),
        };
        return blockwise::lower(node, cx, sizes, block, scheme, activation::clamp(option, cx)?);
    }
    let range = activation::clamp(option, cx)?;
    let whole_bytes = match weights.info.dtype {
        TensorType::Int8 => true,
        TensorType::Int4 => depth % 2 == 0,
        TensorType::Int2 => depth % 4 == 0,
        _ => false,
    };
    let constant = weights.value.is_some() && known(node.optional(2));
    let scheme = if !is_refused(node) && constant && whole_bytes && clips(option) {
        DynamicScheme::Asymmetric
    } else if options.asymmetric_quantize_inputs && !knows_no_zero_points(node, sizes) {
        DynamicScheme::AsymmetricAway
    } else {
        DynamicScheme::SymmetricAway
    };
    let weights_type = weights.info.dtype;
    let weight_scales = scales(weights.info, 0, units)?;
    let product = RowProduct::new(cx, scheme, rows, units, depth);
    let mut params = PackParams::new(node);
    params.push(option.0 as u64);
    params.push(cx.activation.map_or(u64::MAX, Fused::key));
    params.push(hybrid::rescaling(scheme) as u64);
    let prepare = move |packing: Packing<'_>, weights: &[u8], bias: Option<&[u8]>| {
        let weights = WeightBytes::new(weights_type, weights, units * depth)?.read_as_signed();
        let packed = pack_columns(packing, product.layout, &weights, 0, 0);
        let bias = float_bias(bias, units)?;
        Ok(HybridColumns::new(packed, &weight_scales, &bias, range, hybrid::rescaling(scheme)))
    };
    let run = move |columns: &HybridColumns, io: &mut crate::io::Io<'_>, par| {
        product.run(columns, io.inputs.get(0)?, io.outputs.get(0)?, par, io.scratch);
        Ok(())
    };
    let name = format!("hybrid_gemm_{}", product.layout.tile_name());
    let operands = Operands { filter: 1, bias: 2 };
    let scratch = product.scratch_bytes();
    hybrid::kernel(node, cx, operands, "dense_hybrid", params, name, scratch, sizes.ops(), prepare, run)
}
