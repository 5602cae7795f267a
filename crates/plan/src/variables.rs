//! Resource variables within a subgraph: which operators touch which variable, and reads that need not reach it.

use std::collections::HashMap;

use ferrolite_model::options::VarHandleOptionsT;
use ferrolite_model::{BuiltinOperator, OpCode};
use ferrolite_ops::is_sized;

use crate::graph::{Content, Graph};

/// What a node does outside its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// It reads the variable of this number.
    Read(usize),
    /// It gives the variable of this number a value.
    Write(usize),
    /// It may do anything: call subgraphs, draw random numbers, touch variables that nobody here names.
    Any,
}

/// The variables that a graph names, numbered.
pub(crate) struct Variables {
    /// By the tensor that holds the handle.
    handles: HashMap<usize, usize>,
}

impl Variables {
    pub fn new(graph: &Graph) -> Self {
        let mut numbers = HashMap::new();
        let mut handles = HashMap::new();
        for node in &graph.nodes {
            let operator = graph.operator(node);
            if let (OpCode::Builtin(BuiltinOperator::VAR_HANDLE), &[handle]) =
                (&operator.code, node.outputs.as_slice())
            {
                let options = operator.options::<VarHandleOptionsT>().cloned().unwrap_or_default();
                let next = numbers.len();
                handles
                    .insert(handle, *numbers.entry((options.container, options.shared_name)).or_insert(next));
            }
        }
        Self { handles }
    }

    /// What node `n` of the graph does.
    pub fn access(&self, graph: &Graph, n: usize) -> Access {
        let node = &graph.nodes[n];
        let variable = || node.inputs.first().copied().flatten().and_then(|handle| self.handles.get(&handle));
        match (&graph.operator(node).code, variable()) {
            (OpCode::Builtin(BuiltinOperator::VAR_HANDLE), _) => Access::None,
            (OpCode::Builtin(BuiltinOperator::READ_VARIABLE), Some(&v)) => Access::Read(v),
            (OpCode::Builtin(BuiltinOperator::ASSIGN_VARIABLE), Some(&v)) => Access::Write(v),
            _ => {
                let state = |&t: &usize| matches!(graph.tensors[t].content, Content::Variable);
                let stateful = node.spec.traits.stateful
                    || node.spec.has_states()
                    || node.inputs.iter().flatten().chain(&node.outputs).any(state);
                if stateful { Access::Any } else { Access::None }
            }
        }
    }
}

/// Lets operators take what a variable holds from where it was read or computed last, rather than read it again.
pub(crate) fn forward_variables(graph: &mut Graph) {
    let variables = Variables::new(graph);
    if variables.handles.is_empty() {
        return;
    }
    // For every variable the tensor that has its value, and for tensors read again the one to take.
    let mut values: HashMap<usize, usize> = HashMap::new();
    let mut stands_for: HashMap<usize, usize> = HashMap::new();
    let mut gone = vec![false; graph.nodes.len()];
    for (n, gone) in gone.iter_mut().enumerate() {
        for input in graph.nodes[n].inputs.iter_mut().flatten() {
            if let Some(&same) = stands_for.get(input) {
                *input = same;
            }
        }
        match variables.access(graph, n) {
            Access::None => {}
            Access::Any => values.clear(),
            Access::Read(v) => {
                let &[read] = graph.nodes[n].outputs.as_slice() else { continue };
                match values.get(&v) {
                    Some(&value) if is_same(graph, value, read) && !graph.outputs.contains(&read) => {
                        stands_for.insert(read, value);
                        *gone = true;
                    }
                    _ => {
                        values.insert(v, read);
                    }
                }
            }
            Access::Write(v) => {
                match graph.nodes[n].inputs.get(1).copied().flatten() {
                    Some(value) => values.insert(v, value),
                    None => values.remove(&v),
                };
            }
        }
    }
    let mut gone = gone.into_iter();
    graph.nodes.retain(|_| !gone.next().unwrap_or(false));
}

/// Whether a variable's value may stand for what reading the variable gives: the file settles that they are alike.
fn is_same(graph: &Graph, value: usize, read: usize) -> bool {
    let (value, read) = (&graph.tensors[value], &graph.tensors[read]);
    value.info.dtype == read.info.dtype
        && value.info.shape == read.info.shape
        && !value.info.open_shape
        && !read.info.open_shape
        && is_sized(value.info.dtype)
        && !matches!(value.content, Content::Variable)
}
