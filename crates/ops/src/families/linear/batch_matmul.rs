//! BATCH_MATMUL: products of matrices in the last two dimensions, the others broadcast.

use std::sync::Arc;

use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::float::gemm::{BatchMatMul, MatMulShape};
use ferrolite_kernels::cpu::int8::batch::Batch;
use ferrolite_kernels::cpu::int8::dynamic::DynamicScheme;
use ferrolite_kernels::cpu::int8::exact::StoreExact;
use ferrolite_kernels::cpu::int8::gemm::Bias;
use ferrolite_kernels::cpu::int8::pack::{Bytes, Matrix, PackLayout, PackedWeights};
use ferrolite_kernels::cpu::int8::rows::{Activation, Dense, Transposed};
use ferrolite_kernels::cpu::int8::store::Target;
use ferrolite_kernels::cpu::int8::words::{WordMatrix, multiply_words};
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::TensorType;
use ferrolite_model::options::{ActivationFunctionType, BatchMatMulOptionsT};

use super::activation;
use super::conv2d::type_name;
use super::hybrid::{self, HybridColumns, RowProduct};
use super::integer::{Finish, Place, width, with_store};
use super::requant::{Requant, choose};
use super::views;
use super::weights::PackParams;
use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{Fused, LowerCx};
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// The sizes of the products.
#[derive(Clone)]
pub(super) struct Sizes {
    pub(super) shape: MatMulShape,
    /// Dimensions of the batch.
    batch: Shape,
    /// For each output matrix the indices of its left and right matrices.
    pub(super) pairs: Arc<[(usize, usize)]>,
    /// Number of right matrices.
    rights: usize,
    asymmetric: bool,
}

impl Sizes {
    fn ops(&self) -> f64 {
        let MatMulShape { m, n, k, .. } = self.shape;
        2.0 * self.pairs.len() as f64 * m as f64 * n as f64 * k as f64
    }

    /// Right matrix `index` for the integer kernels.
    fn right<'a>(&self, bytes: &'a [i8], zero: i32, index: usize) -> Matrix<'a> {
        let MatMulShape { n, k, right_transposed, .. } = self.shape;
        let (col_stride, depth_stride) = if right_transposed { (k, 1) } else { (1, n) };
        let bytes = Bytes::Signed(&bytes[index * n * k..][..n * k]);
        Matrix { bytes, zero, cols: n, depth: k, col_stride, depth_stride }
    }
}

/// Rows and columns of the matrices in a tensor, and the dimensions around them.
fn matrices(shape: &Shape, transposed: bool) -> Result<([usize; 2], Shape), OpError> {
    match &shape[..] {
        [batch @ .., rows, cols] => {
            Ok((if transposed { [*cols, *rows] } else { [*rows, *cols] }, Shape::new(batch)))
        }
        _ => Err(OpError::invalid(format!("a matrix product takes tensors of rank 2 and more, not {shape}"))),
    }
}

fn sizes(node: &Node<'_>) -> Result<Sizes, OpError> {
    let options = node.options::<BatchMatMulOptionsT>()?;
    let (left, right) = (node.shape(0)?, node.shape(1)?);
    let ([m, k], left_batch) = matrices(left, options.adj_x)?;
    let ([depth, n], right_batch) = matrices(right, options.adj_y)?;
    if k != depth {
        return Err(OpError::invalid(format!(
            "the matrices of {left} and {right} cannot be multiplied: {k} columns meet {depth} rows"
        )));
    }
    let batch = left_batch.broadcast(&right_batch)?;
    let count = batch.num_elements()?;
    let pairs =
        (0..count).map(|i| (source(i, &batch, &left_batch), source(i, &batch, &right_batch))).collect();
    Ok(Sizes {
        shape: MatMulShape { m, n, k, left_transposed: options.adj_x, right_transposed: options.adj_y },
        rights: right_batch.num_elements()?,
        batch,
        pairs,
        asymmetric: options.asymmetric_quantize_inputs,
    })
}

/// The index in a batch of shape `from` that element `index` of the broadcast `batch` comes from.
fn source(mut index: usize, batch: &Shape, from: &Shape) -> usize {
    let (mut at, mut step) = (0, 1);
    for (axis, &dim) in batch.iter().enumerate().rev() {
        let position = index % dim;
        index /= dim;
        let missing = batch.rank() - from.rank();
        if axis >= missing {
            let own = from[axis - missing];
            if own != 1 {
                at += position * step;
            }
            step *= own;
        }
    }
    at
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let sizes = sizes(node)?;
    let mut shape = sizes.batch.clone();
    shape.push(sizes.shape.m);
    shape.push(sizes.shape.n);
    Ok(one(shape))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let sizes = sizes(node)?;
    match (node.dtype(0)?, node.dtype(1)?) {
        (TensorType::Float32, TensorType::Float32) => lower_float(node, cx, sizes),
        (TensorType::Float32, _) => lower_hybrid(node, cx, sizes),
        (TensorType::Int16, TensorType::Int16) => lower_words(node, cx, sizes),
        (TensorType::Int8, _) => lower_integer::<i8>(node, cx, sizes),
        _ => lower_integer::<i16>(node, cx, sizes),
    }
}

fn lower_float(node: &Node<'_>, cx: &LowerCx<'_>, sizes: Sizes) -> Result<Box<dyn Kernel>, OpError> {
    let epilogue = Epilogue::new(activation::float(ActivationFunctionType::NONE, cx)?);
    let product = match cx.views {
        Some(views) => views::product(cx.cpu, node, views, &sizes)?,
        None => BatchMatMul::new(cx.cpu, sizes.shape, &sizes.pairs),
    };
    let scratch = product.scratch_bytes(Par::new(cx.threads));
    Ok(FnKernel::new(product.name(), move |io, cx| {
        let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
        let (left, right) = (io.inputs.get(0)?, io.inputs.get(1)?);
        Ok(product.run(left, right, io.outputs.get(0)?, scratch, &epilogue, cx.par())?)
    })
    .scratch(scratch)
    .ops(sizes.ops())
    .boxed())
}

/// What the sums of a product become.
fn finish(node: &Node<'_>) -> Result<Finish, OpError> {
    let output = node.output(0)?;
    if output.dtype == TensorType::Int32 {
        return Ok(Finish::Sums);
    }
    let (input_scale, _) = node.input(0)?.info.per_tensor()?;
    let (weight_scale, weight_zero) = node.input(1)?.info.per_tensor()?;
    let delegated = weight_zero == 0;
    let requant = Requant {
        arithmetic: choose(delegated, output.dtype, None),
        input_scale,
        weight_scales: &[weight_scale],
        output,
        activation: ActivationFunctionType::NONE,
    };
    let cols = node.output(0)?.shape.last().copied().unwrap_or(0);
    Ok(requant.finish(&[], cols)?.0)
}

fn lower_integer<X: Activation + Element>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let finish = finish(node)?;
    // Plain sums are those of the stored numbers.
    let (zero, right_zero) = match finish {
        Finish::Sums => (0, 0),
        _ => (node.input(0)?.info.per_tensor()?.1, node.input(1)?.info.per_tensor()?.1),
    };
    let MatMulShape { m, n, k, left_transposed, .. } = sizes.shape;
    let layout = PackLayout::new(cx.cpu, width(X::DTYPE), n, k);
    let batch = Batch::new(layout, sizes.pairs.len(), m, Par::new(cx.threads));
    let bias = Bias::new(&[], n);
    let name = format!("{}_gemm_{}", type_name(X::DTYPE), layout.tile_name());
    let ops = sizes.ops();
    Ok(FnKernel::new(name, move |io, _| {
        let (left, right) = (io.inputs.get::<X>(0)?, io.inputs.get::<i8>(1)?);
        let left = |i: usize| &left[sizes.pairs[i].0 * m * k..][..m * k];
        let right = |i: usize| sizes.right(right, right_zero, sizes.pairs[i].1);
        let (out, place) = (&mut io.outputs, Place::rows(0, n));
        with_store!(&finish, out, place, |store| if left_transposed {
            let rows = |i: usize| Transposed { data: left(i), rows: m, depth: k };
            batch.run(rows, right, zero, &bias, store, io.scratch);
        } else {
            let rows = |i: usize| Dense { data: left(i), rows: m, depth: k, stride: k };
            batch.run(rows, right, zero, &bias, store, io.scratch);
        })
    })
    .scratch(batch.scratch_bytes())
    .ops(ops)
    .boxed())
}

fn lower_words(node: &Node<'_>, cx: &LowerCx<'_>, sizes: Sizes) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let Finish::Wide(fixed) = finish(node)? else {
        return Err(OpError::unsupported("16-bit matrices give a 16-bit product"));
    };
    let ops = sizes.ops();
    Ok(FnKernel::new("i16_product", move |io, cx| {
        let MatMulShape { m, n, k, left_transposed, right_transposed } = sizes.shape;
        let (left, right) = (io.inputs.get::<i16>(0)?, io.inputs.get::<i16>(1)?);
        let (left_stride, left_depth) = if left_transposed { (1, m) } else { (k, 1) };
        let (right_stride, right_depth) = if right_transposed { (k, 1) } else { (1, n) };
        let out = io.outputs.get::<i16>(0)?;
        for (index, &(l, r)) in sizes.pairs.iter().enumerate() {
            let (left, right) = (&left[l * m * k..][..m * k], &right[r * n * k..][..n * k]);
            let left = WordMatrix { data: left, count: m, stride: left_stride, depth_stride: left_depth };
            let right = WordMatrix { data: right, count: n, stride: right_stride, depth_stride: right_depth };
            let store = StoreExact::Words(&fixed, Target::new(out, index * m * n, n));
            multiply_words(left, right, k, &store, cx.par());
        }
        Ok(())
    })
    .ops(ops)
    .boxed())
}

fn lower_hybrid(node: &Node<'_>, cx: &LowerCx<'_>, sizes: Sizes) -> Result<Box<dyn Kernel>, OpError> {
    let range = activation::clamp(ActivationFunctionType::NONE, cx)?;
    let right = node.input(1)?;
    let MatMulShape { m, n, k, left_transposed, .. } = sizes.shape;
    let scales: Arc<[f32]> = right.info.scales()?.into();
    if n > 0 && !(sizes.rights * n).is_multiple_of(scales.len()) {
        return Err(OpError::invalid(format!("{} scales do not fit matrices of {n} columns", scales.len())));
    }
    let scheme = match (right.value.is_some(), sizes.asymmetric) {
        (true, _) => DynamicScheme::Asymmetric,
        (false, true) => DynamicScheme::AsymmetricAway,
        (false, false) => DynamicScheme::SymmetricAway,
    };
    let cpu = cx.cpu;
    let product = RowProduct::new(cx, scheme, m, n, k);
    let (pairs, ops, rights) = (sizes.pairs.clone(), sizes.ops(), sizes.rights);
    let prepare = move |packing: Packing<'_>, bytes: &[u8]| -> Result<Vec<HybridColumns>, OpError> {
        let bytes: &[i8] = bytemuck::cast_slice(bytes);
        Ok((0..rights)
            .map(|index| {
                let packed =
                    PackedWeights::lazily(packing, product.layout, 0, || sizes.right(bytes, 0, index));
                let scales: Vec<f32> = (0..n).map(|col| scales[(index * n + col) % scales.len()]).collect();
                HybridColumns::new(packed, &scales, &[], range, hybrid::rescaling(scheme))
            })
            .collect())
    };
    let prepared = match right.value {
        Some(bytes) => {
            let mut params = PackParams::new(node);
            params.extend(&[n, k, m]);
            params.push(cx.activation.map_or(u64::MAX, Fused::key));
            let make = |packing: Packing<'_>| prepare(packing, bytes);
            Some(cx.packs.get_or_pack(cpu, "matmul_hybrid", params.as_slice(), &[Some(right)], make)?)
        }
        None => None,
    };
    let turned = if left_transposed { m * k } else { 0 };
    let scratch = ScratchSize::new().with::<f32>(turned).with::<u8>(product.scratch_bytes());
    let run = move |columns: &[HybridColumns], io: &mut Io<'_>, par: Par| {
        let left = io.inputs.get::<f32>(0)?;
        let out = io.outputs.get::<f32>(0)?;
        let mut scratch = Scratch::new(&mut *io.scratch);
        let (turned, memory) = (scratch.take::<f32>(turned), scratch.take::<u8>(product.scratch_bytes()));
        for (&(l, r), out) in pairs.iter().zip(out.chunks_exact_mut((m * n).max(1))) {
            let mut left = &left[l * m * k..][..m * k];
            if left_transposed {
                for (i, to) in turned.iter_mut().enumerate() {
                    *to = left[i % k * m + i / k];
                }
                left = turned;
            }
            product.run(&columns[r], left, out, par, memory);
        }
        Ok(())
    };
    Ok(FnKernel::new(format!("hybrid_gemm_{}", product.layout.tile_name()), move |io, cx| match &prepared {
        Some(columns) => run(columns, io, cx.par()),
        None => run(&prepare(cpu.into(), io.inputs.bytes(1)?)?, io, cx.par()),
    })
    .scratch(scratch.bytes())
    .ops(ops)
    .boxed())
}
