//! Calls between subgraphs: the callee exists, takes what it is given, and never comes back to its caller.

use std::collections::VecDeque;

use crate::error::{ModelError, bail};
use crate::graph::{OpCode, Operator, Subgraph};
use crate::model::Content;
use crate::options::{self, Options};
use ferrolite_schema::tflite::BuiltinOperator;

/// A subgraph that an operator runs.
struct Call {
    /// Index as the file writes it.
    subgraph: i64,
    /// Inputs and outputs that the subgraph must have, where the operator fixes them.
    arity: Option<(usize, usize)>,
}

pub(super) fn verify(content: &Content, max_depth: usize) -> Result<(), ModelError> {
    let mut callees = Vec::with_capacity(content.subgraphs.len());
    for (index, subgraph) in content.subgraphs.iter().enumerate() {
        callees.push(callees_of(content, subgraph).map_err(|error| error.in_subgraph(index))?);
    }
    verify_depth(&callees, max_depth)
}

fn callees_of(content: &Content, subgraph: &Subgraph) -> Result<Vec<usize>, ModelError> {
    let mut callees = Vec::new();
    for (index, operator) in subgraph.operators.iter().enumerate() {
        for call in calls(operator).map_err(|error| error.in_operator(index, &operator.code))? {
            let callee = resolve(content, &call).map_err(|error| error.in_operator(index, &operator.code))?;
            callees.push(callee);
        }
    }
    callees.sort_unstable();
    callees.dedup();
    Ok(callees)
}

fn resolve(content: &Content, call: &Call) -> Result<usize, ModelError> {
    let found =
        usize::try_from(call.subgraph).ok().and_then(|index| Some((index, content.subgraphs.get(index)?)));
    let Some((index, subgraph)) = found else {
        bail!(
            Index,
            "it runs subgraph {} of {}; export the model again",
            call.subgraph,
            content.subgraphs.len()
        );
    };
    match call.arity {
        Some(arity) if arity != (subgraph.inputs.len(), subgraph.outputs.len()) => bail!(
            Graph,
            "subgraph {index} takes {} tensors and returns {} where the operator has {} and {}; export the model again",
            subgraph.inputs.len(),
            subgraph.outputs.len(),
            arity.0,
            arity.1
        ),
        _ => Ok(index),
    }
}

/// The subgraphs that an operator's options name.
fn calls(operator: &Operator) -> Result<Vec<Call>, ModelError> {
    let (inputs, outputs) = (operator.inputs.len(), operator.outputs.len());
    let call = |subgraph: i32, arity| Call { subgraph: i64::from(subgraph), arity };
    let free = |subgraph: i32| call(subgraph, None);
    let branch = |subgraph: i32| call(subgraph, Some((inputs.saturating_sub(1), outputs)));
    let all = |indices: &Option<Vec<i32>>, call: &dyn Fn(i32) -> Call| -> Vec<Call> {
        indices.iter().flatten().map(|&index| call(index)).collect()
    };
    let whole =
        |cond: i32, body: i32| vec![call(cond, Some((inputs, 1))), call(body, Some((inputs, inputs)))];
    use options::{BuiltinOptions2T as Second, BuiltinOptionsT as First};
    Ok(match &operator.options {
        Options::Builtin(First::IfOptions(o)) => {
            vec![branch(o.then_subgraph_index), branch(o.else_subgraph_index)]
        }
        Options::Builtin(First::WhileOptions(o)) => whole(o.cond_subgraph_index, o.body_subgraph_index),
        Options::Builtin(First::CallOnceOptions(o)) => vec![free(o.init_subgraph_index)],
        Options::Builtin(First::CallOptions(o)) => {
            vec![Call { subgraph: i64::from(o.subgraph), arity: Some((inputs, outputs)) }]
        }
        Options::Builtin2(Second::StablehloWhileOptions(o)) => {
            whole(o.cond_subgraph_index, o.body_subgraph_index)
        }
        Options::Builtin2(Second::StablehloCaseOptions(o)) => all(&o.branch_subgraph_indices, &branch),
        Options::Builtin2(Second::StablehloReduceOptions(o)) => vec![free(o.body_subgraph_index)],
        Options::Builtin2(Second::StablehloReduceWindowOptions(o)) => vec![free(o.body_subgraph_index)],
        Options::Builtin2(Second::StablehloSortOptions(o)) => vec![free(o.comparator_subgraph_index)],
        Options::Builtin2(Second::StablehloScatterOptions(o)) => {
            vec![free(o.update_computation_subgraph_index)]
        }
        Options::Builtin2(Second::StablehloCustomCallOptions(o)) => all(&o.called_computations, &free),
        Options::Builtin2(Second::StableHLOCompositeOptions(o)) => {
            vec![call(o.decomposition_subgraph_index, Some((inputs, outputs)))]
        }
        _ if needs_a_subgraph(&operator.code) => {
            bail!(Options, "its options are missing, which name the subgraph to run; export the model again")
        }
        _ => Vec::new(),
    })
}

/// Operators that are nothing without a subgraph.
fn needs_a_subgraph(code: &OpCode) -> bool {
    let OpCode::Builtin(code) = *code else { return false };
    matches!(
        code,
        BuiltinOperator::IF
            | BuiltinOperator::WHILE
            | BuiltinOperator::CALL
            | BuiltinOperator::CALL_ONCE
            | BuiltinOperator::STABLEHLO_WHILE
            | BuiltinOperator::STABLEHLO_CASE
            | BuiltinOperator::STABLEHLO_REDUCE
            | BuiltinOperator::STABLEHLO_REDUCE_WINDOW
            | BuiltinOperator::STABLEHLO_SORT
            | BuiltinOperator::STABLEHLO_SCATTER
            | BuiltinOperator::STABLEHLO_COMPOSITE
    )
}

/// Callers come before callees in some order, that is no subgraph reaches itself, and no chain of calls is longer than
/// `max_depth`.
fn verify_depth(callees: &[Vec<usize>], max_depth: usize) -> Result<(), ModelError> {
    let mut callers = vec![0_usize; callees.len()];
    for &callee in callees.iter().flatten() {
        if let Some(count) = callers.get_mut(callee) {
            *count = count.saturating_add(1);
        }
    }
    let mut depth = vec![0_usize; callees.len()];
    let mut ready: VecDeque<usize> =
        callers.iter().enumerate().filter(|&(_, &count)| count == 0).map(|(index, _)| index).collect();
    let mut ordered = 0_usize;
    while let Some(caller) = ready.pop_front() {
        ordered = ordered.saturating_add(1);
        let below = depth.get(caller).copied().unwrap_or_default().saturating_add(1);
        for &callee in callees.get(caller).into_iter().flatten() {
            if below > max_depth {
                bail!(
                    Limit,
                    "subgraph {callee} is called {below} levels deep; raise LoadOptions::max_call_depth from {max_depth} \
                     if it is meant"
                );
            }
            if let (Some(depth), Some(count)) = (depth.get_mut(callee), callers.get_mut(callee)) {
                *depth = (*depth).max(below);
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push_back(callee);
                }
            }
        }
    }
    if ordered == callees.len() {
        return Ok(());
    }
    let stuck = callers.iter().position(|&count| count > 0).unwrap_or_default();
    bail!(Graph, "subgraph {stuck} runs itself or is run by one that does; recursion is not supported")
}
