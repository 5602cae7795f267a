//! Operators as links of a chain: functions of single floats and of rows of them, which the planner puts together so that
//! several of them are one step.

use ferrolite_kernels::cpu::elementwise::chain::{Chain, Function, OfRow};
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::TensorType;
use ferrolite_model::options::{
    ActivationFunctionType, AddOptionsT, DivOptionsT, LeakyReluOptionsT, MulOptionsT, SubOptionsT,
};
use smallvec::SmallVec;

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::node::Node;
use crate::spec::OpSpec;

/// What an operator computes of the elements at one place of its operands, or of the rows of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Elementwise {
    /// The function; one of two numbers takes further operands in turn, its result so far first.
    pub function: Function,
    /// The inputs it is a function of.
    pub operands: SmallVec<[usize; 2]>,
    /// A function of the result.
    pub then: Option<Function>,
    /// Of a function of rows how many elements a row has, those of the operand's innermost dimensions; else 1.
    pub row: usize,
}

/// Tells what an operator computes element by element or row by row; `None` for forms that are more, or of other types than
/// `f32`.
pub type ChainFn = fn(&Node<'_>) -> Option<Elementwise>;

impl OpSpec {
    /// What the operator computes of single floats or of rows of them, if that is all it does.
    #[must_use]
    pub fn elementwise(&self, node: &Node<'_>) -> Option<Elementwise> {
        let float = |dtype: TensorType| dtype == TensorType::Float32;
        let [output] = node.outputs else { return None };
        let found = (self.chain.filter(|_| float(output.dtype))?)(node)?;
        found.operands.iter().all(|&i| node.dtype(i).is_ok_and(float)).then_some(found)
    }
}

impl Elementwise {
    /// One function of input 0.
    #[must_use]
    pub fn unary(function: Function) -> Self {
        Self { function, operands: SmallVec::from_slice(&[0]), then: None, row: 1 }
    }

    /// One function of inputs 0 and 1.
    #[must_use]
    pub fn binary(function: Function) -> Self {
        Self { function, operands: SmallVec::from_slice(&[0, 1]), then: None, row: 1 }
    }

    /// A function of rows of `row` elements of input 0; `None` if the elements are of no row, as a single one is.
    #[must_use]
    pub fn of_rows(function: OfRow, row: usize) -> Option<Self> {
        (row > 1).then(|| Self { row, ..Self::unary(Function::OfRow(function)) })
    }

    /// A function of inputs 0 and 1, then the activation of the operator's options; `None` if that is no clamp.
    fn activated(function: Function, activation: ActivationFunctionType) -> Option<Self> {
        let clamp = |low, high| Some(Function::Clamp { low, high });
        let then = match activation {
            ActivationFunctionType::NONE => None,
            ActivationFunctionType::RELU => clamp(0.0, f32::INFINITY),
            ActivationFunctionType::RELU_N1_TO_1 => clamp(-1.0, 1.0),
            ActivationFunctionType::RELU6 => clamp(0.0, 6.0),
            _ => return None,
        };
        Some(Self { then, ..Self::binary(function) })
    }
}

/// The sum, as ADD has it.
pub(crate) fn add(node: &Node<'_>) -> Option<Elementwise> {
    Elementwise::activated(Function::Add, node.options::<AddOptionsT>().ok()?.fused_activation_function)
}

/// The difference, as SUB has it.
pub(crate) fn sub(node: &Node<'_>) -> Option<Elementwise> {
    Elementwise::activated(Function::Sub, node.options::<SubOptionsT>().ok()?.fused_activation_function)
}

/// The product, as MUL has it.
pub(crate) fn mul(node: &Node<'_>) -> Option<Elementwise> {
    Elementwise::activated(Function::Mul, node.options::<MulOptionsT>().ok()?.fused_activation_function)
}

/// The quotient, as DIV has it.
pub(crate) fn div(node: &Node<'_>) -> Option<Elementwise> {
    Elementwise::activated(Function::Div, node.options::<DivOptionsT>().ok()?.fused_activation_function)
}

/// The sum of all inputs in order.
pub(crate) fn add_n(node: &Node<'_>) -> Option<Elementwise> {
    let function = if node.inputs.len() == 1 { Function::Copy } else { Function::Add };
    Some(Elementwise { function, operands: (0..node.inputs.len()).collect(), then: None, row: 1 })
}

/// A slope below zero, as LEAKY_RELU has it.
pub(crate) fn leaky_relu(node: &Node<'_>) -> Option<Elementwise> {
    let alpha = node.options::<LeakyReluOptionsT>().ok()?.alpha;
    Some(Elementwise::unary(Function::LeakyRelu { alpha }))
}

/// The kernel of a chain over all inputs and outputs of its step.
#[must_use]
pub fn chain_kernel(chain: Chain, cpu: Cpu) -> Box<dyn Kernel> {
    let kind = if chain.has_rows() { "rows" } else { "chain" };
    let name = format!("f32_{kind}_of_{}_{}", chain.links(), cpu.name());
    let ops = chain.visits() as f64;
    FnKernel::new(name, move |io, cx| {
        let mut inputs: SmallVec<[&[f32]; 12]> = SmallVec::new();
        for i in 0..io.inputs.len() {
            inputs.push(io.inputs.get::<f32>(i)?);
        }
        let mut outputs: SmallVec<[&mut [f32]; 8]> = SmallVec::new();
        for view in io.outputs.iter_mut() {
            outputs.push(view.elements::<f32>()?);
        }
        chain.run(cpu, &inputs, &mut outputs, cx.par()).map_err(OpError::from)
    })
    .ops(ops)
    .boxed()
}
