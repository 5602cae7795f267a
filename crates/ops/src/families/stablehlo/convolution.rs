//! STABLEHLO_CONVOLUTION over any number of spatial dimensions, with dimensions in any order, padding that may take
//! elements away, dilations of both operands, windows looked through backwards, and groups of features or batches.
//!
//! The patch under the window is copied for a block of results at a time and multiplied with the window's weights.

use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloConvolutionOptionsT;

use super::attributes::{self, Window};
use super::product::{Ends, Kind, Product, Sum, elements, kind};
use super::reduce_window::Reach;
use super::walk::{Walk, offset_of};
use super::{strides, zeros};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::STABLEHLO_CONVOLUTION, infer, lower).inputs(2, 2)];

/// Patches that are multiplied at a time.
const BLOCK: usize = 256;

/// Which dimension of a tensor is which.
struct Layout {
    /// The batch of input and result, the output features of the kernel.
    first: usize,
    /// The features of input and result, the input features of the kernel.
    second: usize,
    spatial: Vec<usize>,
}

impl Layout {
    fn new(
        rank: usize,
        first: i64,
        second: i64,
        spatial: Option<Vec<i64>>,
        what: &str,
    ) -> Result<Self, OpError> {
        let mut all = vec![first, second];
        all.extend(spatial.unwrap_or_default());
        let axes = attributes::axes(Some(all), rank, &format!("the layout of the {what}"))?;
        match axes.as_slice() {
            [first, second, spatial @ ..] if axes.len() == rank => {
                Ok(Self { first: *first, second: *second, spatial: spatial.to_vec() })
            }
            _ => Err(OpError::invalid(format!(
                "the layout of the {what} names {} of {rank} dimensions: export the model again",
                axes.len()
            ))),
        }
    }
}

struct Convolution {
    input: (Shape, Layout),
    kernel: (Shape, Layout),
    output: (Shape, Layout),
    windows: Vec<Window>,
    reversed: Vec<bool>,
    feature_groups: usize,
    batch_groups: usize,
}

impl Convolution {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        let options = node.options::<StablehloConvolutionOptionsT>()?;
        let (input, kernel) = (node.shape(0)?.clone(), node.shape(1)?.clone());
        let rank = input.rank();
        if rank < 2 || kernel.rank() != rank {
            return Err(OpError::invalid(format!(
                "input and kernel have the shapes {input} and {kernel}: both need a batch, features and the same number of \
                 spatial dimensions"
            )));
        }
        let o = options;
        let input_layout = Layout::new(
            rank,
            o.input_batch_dimension,
            o.input_feature_dimension,
            o.input_spatial_dimensions,
            "input",
        )?;
        let kernel_layout = Layout::new(
            rank,
            o.kernel_output_feature_dimension,
            o.kernel_input_feature_dimension,
            o.kernel_spatial_dimensions,
            "kernel",
        )?;
        let output_layout = Layout::new(
            rank,
            o.output_batch_dimension,
            o.output_feature_dimension,
            o.output_spatial_dimensions,
            "result",
        )?;
        let spatial = rank - 2;
        let steps = attributes::counts(o.window_strides, spatial, (1, 1), "the list of window strides")?;
        let base = attributes::counts(o.lhs_dilation, spatial, (1, 1), "the list of input dilations")?;
        let dilations = attributes::counts(o.rhs_dilation, spatial, (1, 1), "the list of kernel dilations")?;
        let padding = attributes::pairs(o.padding, spatial, "the padding")?;
        let reversed = o.window_reversal.unwrap_or_default();
        if !reversed.is_empty() && reversed.len() != spatial {
            return Err(OpError::invalid(format!(
                "the list of reversed dimensions has {} entries for {spatial} spatial dimensions: export the model again",
                reversed.len()
            )));
        }
        let windows: Vec<Window> = (0..spatial)
            .map(|i| Window {
                len: input[input_layout.spatial[i]],
                size: kernel[kernel_layout.spatial[i]],
                stride: steps[i],
                base_dilation: base[i],
                dilation: dilations[i],
                padding: padding[i],
            })
            .collect();
        let groups = |value: i64, what: &str| {
            usize::try_from(value)
                .ok()
                .filter(|&n| n > 0)
                .ok_or_else(|| OpError::invalid(format!("{value} is no number of {what} groups")))
        };
        let feature_groups = groups(o.feature_group_count, "feature")?;
        let batch_groups = groups(o.batch_group_count, "batch")?;
        let (batch, features) = (input[input_layout.first], input[input_layout.second]);
        let (results, inputs) = (kernel[kernel_layout.first], kernel[kernel_layout.second]);
        let fits = (feature_groups == 1 || batch_groups == 1)
            && batch.is_multiple_of(batch_groups)
            && results.is_multiple_of(batch_groups)
            && results.is_multiple_of(feature_groups)
            && inputs.checked_mul(feature_groups) == Some(features);
        if !fits {
            return Err(OpError::invalid(format!(
                "an input of {batch} x {features} features and a kernel of {inputs} to {results} do not go together in \
                 {feature_groups} feature groups and {batch_groups} batch groups"
            )));
        }
        let mut dims = vec![0; rank];
        dims[output_layout.first] = batch / batch_groups;
        dims[output_layout.second] = results;
        for (window, &axis) in windows.iter().zip(&output_layout.spatial) {
            dims[axis] = if window.size == 0 { 0 } else { window.results()? };
        }
        let output = attributes::shape(dims)?;
        Ok(Self {
            input: (input, input_layout),
            kernel: (kernel, kernel_layout),
            output: (output, output_layout),
            windows,
            reversed,
            feature_groups,
            batch_groups,
        })
    }

    fn groups(&self) -> usize {
        self.feature_groups * self.batch_groups
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Convolution::new(node)?.output.0))
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let convolution = Convolution::new(node)?;
    if convolution.output.0.num_elements()? == 0 {
        return zeros();
    }
    match kind(node)? {
        Kind::F32(ends) => lower_sums(cx, &convolution, ends),
        Kind::F64(ends) => lower_sums(cx, &convolution, ends),
        Kind::I64(ends) => lower_sums(cx, &convolution, ends),
        Kind::C64(ends) => lower_sums(cx, &convolution, ends),
        Kind::C128(ends) => lower_sums(cx, &convolution, ends),
    }
}

/// Everything that running needs.
struct Plan {
    input_len: usize,
    kernel_len: usize,
    output_len: usize,
    /// Output batches and groups.
    batches: usize,
    groups: usize,
    /// Inputs per group, and elements between two of them.
    channels: (usize, usize),
    /// Elements from one input batch to the next, and from the first batch or feature of a group to the next one's.
    input_steps: (usize, usize),
    /// Elements from one output batch to the next, and between two features.
    output_steps: (usize, usize),
    /// Lengths and strides of the result's spatial dimensions.
    output_spatial: Vec<(usize, usize)>,
    /// Spatial positions of the result.
    positions: usize,
    reach: Reach,
    /// The kernel in the order group and output feature, window, input feature.
    kernel: Walk,
    product: Product,
}

impl Plan {
    fn new(cx: &LowerCx<'_>, c: &Convolution) -> Result<Self, OpError> {
        let ((input, i), (kernel, k), (output, o)) = (&c.input, &c.kernel, &c.output);
        let (input_strides, kernel_strides, output_strides) =
            (strides(input), strides(kernel), strides(output));
        let groups = c.groups();
        let (features, channels) = (kernel[k.first] / groups, kernel[k.second]);
        let output_spatial: Vec<(usize, usize)> =
            o.spatial.iter().map(|&axis| (output[axis], output_strides[axis])).collect();
        let positions: usize = output_spatial.iter().map(|d| d.0).product();
        let spatial_strides: Vec<usize> = i.spatial.iter().map(|&axis| input_strides[axis]).collect();
        let depth = attributes::shape(c.windows.iter().map(|w| w.size).chain([channels]))?.num_elements()?;
        let order = [k.first].into_iter().chain(k.spatial.iter().copied()).chain([k.second]);
        let batches = output[o.first];
        let group_step = if c.batch_groups > 1 {
            batches * input_strides[i.first]
        } else {
            channels * input_strides[i.second]
        };
        Ok(Self {
            input_len: input.num_elements()?,
            kernel_len: kernel.num_elements()?,
            output_len: output.num_elements()?,
            batches,
            groups,
            channels: (channels, input_strides[i.second]),
            input_steps: (input_strides[i.first], group_step),
            output_steps: (output_strides[o.first], output_strides[o.second]),
            output_spatial,
            positions,
            reach: Reach::new(&c.windows, &spatial_strides, &c.reversed)?,
            kernel: Walk::new(order.map(|axis| (kernel[axis], kernel_strides[axis]))),
            product: Product::new(cx.cpu, 1, [BLOCK.min(positions.max(1)), features, depth]),
        })
    }

    /// Copies the patches under the windows of `count` results from `first` on, whose input starts at `base`.
    fn gather<W: Sum>(
        &self,
        input: &[W],
        base: usize,
        first: usize,
        patches: &mut [W],
        par: ferrolite_kernels::par::Par,
    ) {
        let (channels, step) = self.channels;
        let depth = self.product.k;
        if depth == 0 {
            return;
        }
        par.chunks_mut(patches, depth, |row, patch| {
            let index = first + row;
            if index >= self.positions {
                // Rows behind the last result are multiplied with the others, but not used.
                patch.fill(W::default());
                return;
            }
            let mut parts = patch.chunks_mut(channels);
            let done: Result<(), core::convert::Infallible> = self.reach.visit(index, |offset| {
                let Some(part) = parts.next() else { return Ok(()) };
                match offset {
                    None => part.fill(W::default()),
                    Some(offset) if step == 1 => {
                        part.copy_from_slice(&input[base + offset..][..channels]);
                    }
                    Some(offset) => {
                        let from = input[base + offset..].iter().step_by(step);
                        part.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
                Ok(())
            });
            let Ok(()) = done;
        });
    }
}

fn lower_sums<W: Sum>(cx: &LowerCx<'_>, convolution: &Convolution, ends: Ends<W>) -> Lowered {
    let plan = Plan::new(cx, convolution)?;
    let Product { m: block, n: features, k: depth, .. } = plan.product;
    let product_bytes = plan.product.scratch_bytes::<W>(cx);
    let lens = [
        if ends.plain.0 { 0 } else { plan.input_len },
        if ends.plain.0 { 0 } else { plan.kernel_len },
        plan.kernel_len,
        block.saturating_mul(depth),
        block.saturating_mul(features),
        if ends.plain.1 { 0 } else { plan.output_len },
    ];
    let scratch = lens.iter().fold(ScratchSize::new().with::<u8>(product_bytes), |s, &n| s.with::<W>(n));
    let name = plan.product.name::<W>("convolution");
    let ops = 2.0 * plan.output_len as f64 * depth as f64;
    let run = FnKernel::new(name, move |io, cx| {
        let mut scratch = Scratch::new(&mut *io.scratch);
        let memory = scratch.take::<u8>(product_bytes);
        let [wide_input, wide_kernel, weights, patches, sums, results] = lens.map(|n| scratch.take::<W>(n));
        let (input, kernel): (&[W], &[W]) = if ends.plain.0 {
            (elements(io.inputs.bytes(0)?)?, elements(io.inputs.bytes(1)?)?)
        } else {
            (ends.widen)(io.inputs, 0, ends.zeros[0], wide_input)?;
            (ends.widen)(io.inputs, 1, ends.zeros[1], wide_kernel)?;
            (wide_input, wide_kernel)
        };
        if input.len() != plan.input_len || kernel.len() != plan.kernel_len {
            return Err(wrong_size());
        }
        weights.iter_mut().zip(plan.kernel.clone()).for_each(|(to, offset)| *to = kernel[offset]);
        let out: &mut [W] = if ends.plain.1 { io.outputs.get::<W>(0)? } else { &mut *results };
        if out.len() != plan.output_len {
            return Err(wrong_size());
        }
        let par = cx.par();
        for group in 0..plan.groups {
            let weights = &weights[group * features * depth..][..features * depth];
            for batch in 0..plan.batches {
                let base = batch * plan.input_steps.0 + group * plan.input_steps.1;
                let start = batch * plan.output_steps.0 + group * features * plan.output_steps.1;
                for first in (0..plan.positions).step_by(block) {
                    plan.gather(input, base, first, patches, par);
                    W::multiply(&plan.product, patches, weights, sums, memory, par)?;
                    let rows = sums.chunks(features.max(1)).take(plan.positions - first);
                    for (row, sums) in rows.enumerate() {
                        let at = start + offset_of(first + row, &plan.output_spatial);
                        let to = out[at..].iter_mut().step_by(plan.output_steps.1);
                        to.zip(sums).for_each(|(to, sum)| *to = *sum);
                    }
                }
            }
        }
        if ends.plain.1 {
            return Ok(());
        }
        (ends.narrow)(results, io.outputs.bytes(0)?, ends.rescale)
    });
    Ok(run.scratch(scratch.bytes()).ops(ops).boxed())
}
