//! Which inputs hold which parameters of an LSTM, and how its batch of sequences lies in memory.

use ferrolite_kernels::cpu::recurrent::{LstmSize, Sequence};

use super::operands::{check_shape, check_state};
use crate::error::OpError;
use crate::node::Node;
use crate::shape::Shape;

/// A gate's place among inputs that come in fours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateIndex {
    /// The input gate.
    Input = 0,
    /// The forget gate.
    Forget = 1,
    /// The cell gate.
    Cell = 2,
    /// The output gate.
    Output = 3,
}

/// Where the inputs of one LSTM direction start.
#[derive(Clone, Copy, Debug)]
pub struct LstmInputs {
    /// The first of the 17 parameters: input weights, recurrent weights, peepholes, biases, projection.
    pub base: usize,
    /// The first of four weights of the auxiliary input, if the direction has them.
    pub aux: Option<usize>,
    /// The first of four coefficients of layer normalization, if the direction has them.
    pub norm: Option<usize>,
    /// The hidden state; the cell state follows it.
    pub state: usize,
}

impl LstmInputs {
    /// The inputs of LSTM and UNIDIRECTIONAL_SEQUENCE_LSTM.
    pub fn unidirectional(node: &Node<'_>) -> Self {
        let norm = node.optional(20 + GateIndex::Forget as usize).map(|_| 20);
        Self { base: 1, aux: None, norm, state: 18 }
    }

    /// Weights of the input.
    pub fn input(&self, gate: GateIndex) -> usize {
        self.base + gate as usize
    }

    /// Weights of the previous output.
    pub fn recurrent(&self, gate: GateIndex) -> usize {
        self.base + 4 + gate as usize
    }

    /// Weights of the cell state; the cell gate has none.
    pub fn peephole(&self, gate: GateIndex) -> Option<usize> {
        match gate {
            GateIndex::Input => Some(self.base + 8),
            GateIndex::Forget => Some(self.base + 9),
            GateIndex::Cell => None,
            GateIndex::Output => Some(self.base + 10),
        }
    }

    /// Bias.
    pub fn bias(&self, gate: GateIndex) -> usize {
        self.base + 11 + gate as usize
    }

    /// Weights of the projection; its bias follows.
    pub fn projection(&self) -> usize {
        self.base + 15
    }

    /// Whether there is an input gate of its own.
    pub fn has_input_gate(&self, node: &Node<'_>) -> Result<bool, OpError> {
        let weights = node.optional(self.input(GateIndex::Input)).is_some();
        let recurrent = node.optional(self.recurrent(GateIndex::Input)).is_some();
        if weights == recurrent {
            return Ok(weights);
        }
        Err(OpError::invalid(
            "an input gate needs weights both of the input and of the previous output, or neither",
        ))
    }

    /// Whether the gates see the cell state.
    pub fn has_peephole(&self, node: &Node<'_>, input_gate: bool) -> Result<bool, OpError> {
        let has = |gate| self.peephole(gate).is_some_and(|i| node.optional(i).is_some());
        let (input, forget, output) = (has(GateIndex::Input), has(GateIndex::Forget), has(GateIndex::Output));
        if forget == output && (input == forget || (!input_gate && !input)) {
            return Ok(forget);
        }
        Err(OpError::invalid("peephole weights are needed for every gate or for none"))
    }

    /// The sizes, as the weights of the output gate give them, checked against inputs, biases and states.
    pub fn size(
        &self,
        node: &Node<'_>,
        inputs: usize,
        aux_inputs: usize,
        batch: usize,
    ) -> Result<LstmSize, OpError> {
        let (cells, outputs) = self.cells_and_outputs(node)?;
        check_shape(node, self.input(GateIndex::Output), &[cells, inputs])?;
        for gate in [GateIndex::Forget, GateIndex::Cell, GateIndex::Output] {
            check_shape(node, self.bias(gate), &[cells])?;
        }
        if node.optional(self.projection()).is_some() {
            check_shape(node, self.projection(), &[outputs, cells])?;
            if node.optional(self.projection() + 1).is_some() {
                check_shape(node, self.projection() + 1, &[outputs])?;
            }
        } else if cells != outputs {
            return Err(OpError::invalid(format!(
                "{cells} cells cannot give {outputs} outputs without a projection"
            )));
        }
        check_state(node, self.state, batch * outputs)?;
        check_state(node, self.state + 1, batch * cells)?;
        Ok(LstmSize { inputs, aux_inputs, cells, outputs })
    }

    /// Number of cells and length of an output vector.
    pub fn cells_and_outputs(&self, node: &Node<'_>) -> Result<(usize, usize), OpError> {
        match **node.shape(self.recurrent(GateIndex::Output))? {
            [cells] => Ok((cells, cells)),
            [cells, outputs] => Ok((cells, outputs)),
            _ => Err(OpError::invalid("recurrent weights are a matrix, or a vector for a diagonal one")),
        }
    }
}

/// The sequences of an input of rank 3, or the single step of one of rank 2; and the length of its vectors.
pub fn sequence_of(shape: &Shape, time_major: bool, reverse: bool) -> Result<(Sequence, usize), OpError> {
    match **shape {
        [steps, batch, len] if time_major => Ok((Sequence { batch, steps, time_major, reverse }, len)),
        [batch, steps, len] => Ok((Sequence { batch, steps, time_major, reverse }, len)),
        [batch, len] => Ok((Sequence::single(batch), len)),
        _ => {
            Err(OpError::invalid(format!("a recurrent layer takes an input of rank 3, not of shape {shape}")))
        }
    }
}

/// The shape of a layer's output: the input's, with vectors of another length.
pub fn with_last(shape: &Shape, len: usize) -> Shape {
    let rank = shape.rank();
    shape.iter().enumerate().map(|(i, &d)| if i + 1 == rank { len } else { d }).collect()
}
