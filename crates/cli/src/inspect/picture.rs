//! What the picture of a model shows: boxes and arrows with their details.

use serde::Serialize;

/// A line of details: what it is, and its value.
pub type Detail = (String, String);

/// What a box stands for; the page colours it accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Tensors that a caller sets.
    Input,
    /// Tensors that a caller gets.
    Output,
    /// Convolutions, dense layers, recurrent layers: where most arithmetic is.
    Layer,
    /// Arithmetic on single elements.
    Elementwise,
    /// Reductions and pooling.
    Reduce,
    /// Moving elements without computing.
    Shape,
    /// Control flow, variables and tables.
    State,
    /// Everything else.
    Other,
    /// Operators that this build cannot run.
    Unsupported,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    pub label: String,
    /// Second line, smaller.
    pub note: String,
    pub role: Role,
    pub details: Vec<Detail>,
}

/// An arrow for a tensor that one box makes and another takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub details: Vec<Detail>,
}

/// One subgraph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    pub name: String,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// A whole model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
    pub title: String,
    pub facts: Vec<Detail>,
    pub graphs: Vec<Graph>,
}

impl Role {
    /// The role of a builtin operator by the file format's name for it, such as `CONV_2D`.
    pub fn of_operator(name: &str) -> Self {
        const ROLES: [(Role, &[&str]); 5] = [
            (Role::Layer, &["CONV", "FULLY_CONNECTED", "MATMUL", "LSTM", "RNN", "SVDF", "EMBEDDING"]),
            (Role::State, &["VAR_HANDLE", "VARIABLE", "WHILE", "IF", "CALL", "HASHTABLE"]),
            (
                Role::Reduce,
                &["POOL", "MEAN", "SUM", "REDUCE", "SOFTMAX", "ARG_", "TOPK", "NORMALIZATION", "CUMSUM"],
            ),
            (
                Role::Shape,
                &[
                    "RESHAPE",
                    "TRANSPOSE",
                    "PAD",
                    "CONCATENATION",
                    "SPLIT",
                    "SLICE",
                    "GATHER",
                    "PACK",
                    "SQUEEZE",
                    "EXPAND_DIMS",
                    "TILE",
                    "BROADCAST_TO",
                    "SPACE_TO",
                    "DEPTH_TO",
                    "BATCH_TO",
                    "RESIZE",
                    "REVERSE",
                    "SHAPE",
                    "RANK",
                    "FILL",
                    "SCATTER",
                    "ONE_HOT",
                    "RANGE",
                    "WHERE",
                ],
            ),
            (
                Role::Elementwise,
                &[
                    "ADD", "SUB", "MUL", "DIV", "RELU", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "ELU",
                    "EXP", "LOG", "SQRT", "SQUARE", "POW", "ABS", "NEG", "MAXIMUM", "MINIMUM", "EQUAL",
                    "LESS", "GREATER", "NOT", "AND", "OR", "CAST", "QUANTIZE", "SELECT", "FLOOR", "CEIL",
                    "ROUND", "SIN", "COS", "SIGN", "ATAN", "BITCAST", "BITWISE", "SHIFT",
                ],
            ),
        ];
        let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
        ROLES.iter().find(|(_, words)| holds(words)).map_or(Role::Other, |(role, _)| *role)
    }
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn roles_of_operators() {
        let rows = [
            ("DEPTHWISE_CONV_2D", Role::Layer),
            ("BATCH_MATMUL", Role::Layer),
            ("READ_VARIABLE", Role::State),
            ("AVERAGE_POOL_2D", Role::Reduce),
            ("STRIDED_SLICE", Role::Shape),
            ("ADD", Role::Elementwise),
            ("NON_MAX_SUPPRESSION_V5", Role::Other),
        ];
        for (name, expected) in rows {
            assert_eq!(Role::of_operator(name), expected, "{name}");
        }
    }
}
