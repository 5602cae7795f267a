//! Operators stand in an order in which they can run, so that no cycle is possible.

use crate::error::{ModelError, ModelErrorKind, bail};
use crate::graph::{Operator, Subgraph, Tensor};

/// What is known of a tensor while walking the operators in order.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// No one has provided a value yet.
    Missing,
    /// The model or the caller holds the value; `"a constant"`, `"a variable"` or `"an input"`.
    Given(&'static str),
    /// The operator at this index made the value.
    Made(usize),
}

pub(super) fn verify(subgraph: &Subgraph) -> Result<(), ModelError> {
    let mut states: Vec<State> = subgraph.tensors.iter().map(initial).collect();
    for (what, list) in [("input", &subgraph.inputs), ("output", &subgraph.outputs)] {
        if let Some(tensor) = list.iter().find(|&&tensor| tensor >= states.len()) {
            bail!(
                Index,
                "{what} tensor {tensor} of {} of the subgraph; export the model again",
                states.len()
            );
        }
    }
    for &input in &subgraph.inputs {
        if let Some(state @ State::Missing) = states.get_mut(input) {
            *state = State::Given("an input");
        }
    }
    for (index, operator) in subgraph.operators.iter().enumerate() {
        step(subgraph, &mut states, index, operator)
            .map_err(|error| error.in_operator(index, &operator.code))?;
    }
    let missing = |tensor: &&usize| states.get(**tensor) == Some(&State::Missing);
    match subgraph.outputs.iter().find(missing) {
        Some(&tensor) => Err(at(
            subgraph,
            tensor,
            "the subgraph returns it but no operator makes it; export the model again",
        )),
        None => Ok(()),
    }
}

fn initial(tensor: &Tensor) -> State {
    if tensor.is_constant {
        State::Given("a constant")
    } else if tensor.is_variable {
        State::Given("a variable")
    } else {
        State::Missing
    }
}

fn step(
    subgraph: &Subgraph,
    states: &mut [State],
    index: usize,
    operator: &Operator,
) -> Result<(), ModelError> {
    for &input in operator.inputs.iter().flatten() {
        if states.get(input) == Some(&State::Missing) {
            let message =
                "it is used before any operator makes it; export the model with operators in running order";
            return Err(at(subgraph, input, message));
        }
    }
    for &output in &operator.outputs {
        let Some(state) = states.get_mut(output) else { continue };
        match *state {
            State::Missing => *state = State::Made(index),
            State::Given(what) => {
                let message = format!("the operator writes it although it is {what}; export the model again");
                return Err(at(subgraph, output, &message));
            }
            State::Made(first) => {
                let message = format!("operator {first} has written it already; export the model again");
                return Err(at(subgraph, output, &message));
            }
        }
    }
    Ok(())
}

fn at(subgraph: &Subgraph, tensor: usize, message: &str) -> ModelError {
    let name = subgraph.tensors.get(tensor).map_or("", |tensor| tensor.name.as_str());
    ModelError::new(ModelErrorKind::Graph, message).in_tensor(tensor, name)
}
