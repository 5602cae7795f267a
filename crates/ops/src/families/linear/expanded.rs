//! A pointwise CONV_2D and the DEPTHWISE_CONV_2D that alone reads its result, computed together.

use ferrolite_kernels::cpu::float::conv::ExpandedF32;
use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;

use super::weights::{FloatWeights, known};
use super::{activation, conv2d, depthwise};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{ADDEND, Fused, LowerCx};
use crate::node::{Node, Operand};

/// A CONV_2D and the DEPTHWISE_CONV_2D that alone reads its result, of floats with weights that are known while planning. The
/// planner makes them one step where that pays: the image in between then exists a few lines at a time.
///
/// The step's inputs are those of the expansion, as many as [`Expanded::OWN`], and those of the depthwise convolution without
/// the image: filter, bias, and perhaps an operand that the planner puts at [`ADDEND`] there.
#[derive(Clone, Copy)]
pub struct Expanded<'a> {
    /// The pointwise convolution.
    pub expansion: &'a Node<'a>,
    /// What reads its output.
    pub depthwise: &'a Node<'a>,
}

impl Expanded<'_> {
    /// Inputs of the expansion: image, filter, bias.
    pub const OWN: usize = 3;

    /// Whether one kernel computes both, and faster on `threads` threads than two. It computes the same bits.
    #[must_use]
    pub fn pays(&self, threads: usize) -> bool {
        let Self { expansion, depthwise } = self;
        let sizes = (conv2d::sizes(expansion), depthwise::sizes(depthwise));
        let (Ok((first, _)), Ok((second, _))) = sizes else { return false };
        let pointwise = first.window.is_pointwise() && first.groups == 1;
        pointwise
            && depthwise.optional(2).is_some()
            && [expansion, depthwise].into_iter().all(|node| constant_floats(node))
            && ExpandedF32::pays(&second.float_shape(), threads)
    }

    /// The kernel of both, the first followed by `activation`; what `cx` says is of the second.
    ///
    /// # Errors
    /// Those of the two operators' lowerings, and where [`Expanded::pays`] says that one kernel does not compute both.
    pub fn lower(&self, activation: Option<Fused>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
        let ((first, option), (second, last)) =
            (conv2d::sizes(self.expansion)?, depthwise::sizes(self.depthwise)?);
        let own = LowerCx { activation, views: None, ..*cx };
        let (before, after) = (activation::float(option, &own)?, activation::float(last, cx)?);
        let expansion = conv2d::packed_float(self.expansion, &own, &first)?;
        let depthwise = depthwise::packed_float(self.depthwise, cx, &second)?;
        let (Some(expansion), Some(depthwise)) = (expansion, depthwise) else {
            return Err(OpError::invalid("weights of convolutions computed together must be constants"));
        };
        let both = ExpandedF32::new(&expansion, before, depthwise)?;
        let (name, scratch) = (both.name(), both.scratch_bytes(Par::new(cx.threads)));
        Ok(FnKernel::new(name, move |io, cx| {
            let residual = io.inputs.optional(Self::OWN + ADDEND - 1)?;
            let epilogue = Epilogue { activation: after, residual };
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            Ok(both.run(io.inputs.get(0)?, io.outputs.get(0)?, scratch, &epilogue, cx.par())?)
        })
        .scratch(scratch)
        .ops(first.ops() + second.ops())
        .boxed())
    }
}

/// Whether all operands of a convolution are floats, and known but for the image.
fn constant_floats(node: &Node<'_>) -> bool {
    let float = |operand: &Operand<'_>| operand.info.dtype == TensorType::Float32;
    node.inputs.iter().flatten().all(float)
        && node.optional(1).is_some_and(|filter| FloatWeights::of(filter).is_some())
        && known(node.optional(2))
}
