//! Gradients of activations and other functions of one number.

use ferrolite_kernels::cpu::elementwise::chain::Function;
use ferrolite_kernels::cpu::gradient::activation::Gradient;
use ferrolite_ops::{Elementwise, FnKernel, Kernel, LowerCx, Node, OpError, OpSpec, same_types};

use super::support::{like, tf_name};
use crate::node_def::NodeDef;

const fn gradient(name: &'static str) -> OpSpec {
    OpSpec::custom(name, like::<0>, lower).inputs(2, 2).types(same_types![Float32]).chain(link)
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    gradient("FlexReluGrad"),
    gradient("FlexRelu6Grad"),
    gradient("FlexLeakyReluGrad"),
    gradient("FlexEluGrad"),
    gradient("FlexSeluGrad"),
    gradient("FlexSoftplusGrad"),
    gradient("FlexSoftsignGrad"),
    gradient("FlexTanhGrad"),
    gradient("FlexSigmoidGrad"),
    gradient("FlexSqrtGrad"),
    gradient("FlexRsqrtGrad"),
    gradient("FlexReciprocalGrad"),
    gradient("FlexInvGrad"),
];

/// The formula, and which inputs are the kept number and the gradient.
fn formula(node: &Node<'_>) -> Result<(Gradient, usize, usize), OpError> {
    Ok(match tf_name(node) {
        "ReluGrad" => (Gradient::Relu, 1, 0),
        "Relu6Grad" => (Gradient::Relu6, 1, 0),
        "LeakyReluGrad" => (Gradient::LeakyRelu { alpha: NodeDef::of(node)?.float("alpha", 0.2)? }, 1, 0),
        "EluGrad" => (Gradient::Elu, 1, 0),
        "SeluGrad" => (Gradient::Selu, 1, 0),
        "SoftplusGrad" => (Gradient::Softplus, 1, 0),
        "SoftsignGrad" => (Gradient::Softsign, 1, 0),
        "TanhGrad" => (Gradient::Tanh, 0, 1),
        "SigmoidGrad" => (Gradient::Sigmoid, 0, 1),
        "SqrtGrad" => (Gradient::Sqrt, 0, 1),
        "RsqrtGrad" => (Gradient::Rsqrt, 0, 1),
        "ReciprocalGrad" | "InvGrad" => (Gradient::Reciprocal, 0, 1),
        other => return Err(OpError::unsupported(format!("the gradient {other}"))),
    })
}

/// The gradient as a link of a chain, if it is not of different shapes.
fn link(node: &Node<'_>) -> Option<Elementwise> {
    let (gradient, kept, of) = formula(node).ok()?;
    let alike = node.shape(0).ok()? == node.shape(1).ok()?;
    alike.then(|| Elementwise {
        operands: [kept, of].into(),
        ..Elementwise::binary(Function::Gradient(gradient))
    })
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (gradient, kept, of) = formula(node)?;
    if node.shape(0)? != node.shape(1)? {
        return Err(OpError::invalid(format!(
            "a gradient of shape {} cannot flow through an activation of shape {}",
            node.shape(of)?,
            node.shape(kept)?
        )));
    }
    let cpu = cx.cpu;
    let run = FnKernel::new(format!("f32_{}_{}", tf_name(node), cpu.name()), move |io, cx| {
        let (kept, of) = (io.inputs.get(kept)?, io.inputs.get(of)?);
        gradient.run(cpu, kept, of, io.outputs.get(0)?, cx.par());
        Ok(())
    });
    Ok(run.boxed())
}
