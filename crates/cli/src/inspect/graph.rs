//! The report as a picture: operators, inputs and outputs are boxes, computed tensors arrows.

use super::picture::{Detail, Edge, Graph, Node, Picture, Role};
use super::report::{Graph as Facts, OperatorFacts, Report};
use super::text;
use std::collections::BTreeSet;

/// Draws the report.
pub fn picture(report: &Report) -> Picture {
    let mut facts = text::facts(report);
    facts.extend(report.plan_error.iter().map(|error| ("cannot run".to_owned(), error.clone())));
    let unsupported: BTreeSet<&str> =
        report.unsupported.iter().map(|operator| operator.name.as_str()).collect();
    let graphs = report.subgraphs.iter().enumerate();
    Picture {
        title: report.file.clone(),
        facts,
        graphs: graphs.map(|(index, facts)| graph(index, facts, &unsupported)).collect(),
    }
}

fn graph(index: usize, facts: &Facts, unsupported: &BTreeSet<&str>) -> Graph {
    let mut drawn = Graph {
        name: facts.name.clone().unwrap_or_else(|| format!("subgraph {index}")),
        nodes: vec![],
        edges: vec![],
    };
    // The box that makes each tensor.
    let mut maker: Vec<Option<usize>> = vec![None; facts.tensors.len()];
    for &tensor in &facts.inputs {
        maker[tensor] = Some(drawn.nodes.len());
        drawn.nodes.push(port("input", tensor, facts, Role::Input));
    }
    for (number, operator) in facts.operators.iter().enumerate() {
        let node = drawn.nodes.len();
        let taken: BTreeSet<usize> = operator.inputs.iter().flatten().copied().collect();
        connect(&mut drawn, &taken, node, &maker, facts);
        drawn.nodes.push(operator_box(number, operator, facts, unsupported));
        operator.outputs.iter().for_each(|&tensor| maker[tensor] = Some(node));
    }
    for &tensor in &facts.outputs {
        let node = drawn.nodes.len();
        connect(&mut drawn, &BTreeSet::from([tensor]), node, &maker, facts);
        drawn.nodes.push(port("output", tensor, facts, Role::Output));
    }
    drawn
}

/// Draws an arrow to `node` for each tensor that a box made.
fn connect(drawn: &mut Graph, taken: &BTreeSet<usize>, node: usize, maker: &[Option<usize>], facts: &Facts) {
    for &tensor in taken {
        if let Some(from) = maker[tensor] {
            drawn.edges.push(Edge { from, to: node, details: tensor_details(tensor, facts) });
        }
    }
}

fn port(kind: &str, tensor: usize, facts: &Facts, role: Role) -> Node {
    let name = &facts.tensors[tensor].name;
    let label = if name.is_empty() { format!("{kind} {tensor}") } else { shortened(name) };
    Node { label, note: shape_and_type(tensor, facts), role, details: tensor_details(tensor, facts) }
}

fn operator_box(
    number: usize,
    operator: &OperatorFacts,
    facts: &Facts,
    unsupported: &BTreeSet<&str>,
) -> Node {
    let mut details: Vec<Detail> =
        vec![("operator".to_owned(), format!("{number}, version {}", operator.version))];
    details.extend(operator.options.iter().map(|options| ("options".to_owned(), options.clone())));
    for (place, tensor) in operator.inputs.iter().enumerate() {
        let value = tensor.map_or_else(|| "left out".to_owned(), |tensor| in_a_line(tensor, facts));
        details.push((format!("input {place}"), value));
    }
    for (place, &tensor) in operator.outputs.iter().enumerate() {
        details.push((format!("output {place}"), in_a_line(tensor, facts)));
    }
    let role = if unsupported.contains(operator.name.as_str()) {
        Role::Unsupported
    } else {
        Role::of_operator(&operator.name)
    };
    let note = operator.outputs.first().map_or_else(String::new, |&tensor| shape_and_type(tensor, facts));
    Node { label: operator.name.clone(), note, role, details }
}

fn tensor_details(tensor: usize, facts: &Facts) -> Vec<Detail> {
    let of = &facts.tensors[tensor];
    let mut details = vec![
        ("tensor".to_owned(), tensor.to_string()),
        ("name".to_owned(), of.name.clone()),
        ("type".to_owned(), of.dtype.clone()),
        ("shape".to_owned(), of.dimensions()),
    ];
    details
        .extend(of.quantization.iter().map(|quantization| ("real value".to_owned(), quantization.clone())));
    let role = text::role(tensor, of, facts);
    if !role.is_empty() {
        details.push(("role".to_owned(), role));
    }
    details
}

fn in_a_line(tensor: usize, facts: &Facts) -> String {
    let of = &facts.tensors[tensor];
    let role = text::role(tensor, of, facts);
    let parts = [Some(format!("{} {}", of.dtype, of.dimensions())), Some(role), of.quantization.clone()];
    let said: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    format!("{}; tensor {tensor} {}", said.join("; "), shortened(&of.name))
}

fn shape_and_type(tensor: usize, facts: &Facts) -> String {
    let of = &facts.tensors[tensor];
    format!("{} {}", of.dimensions(), of.dtype.to_lowercase())
}

/// The end of a long name, which says most in exporters' paths.
fn shortened(name: &str) -> String {
    const LIMIT: usize = 32;
    let length = name.chars().count();
    if length <= LIMIT {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length + 1 - LIMIT).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::super::report::TensorFacts;
    use super::*;

    fn tensor(name: &str) -> TensorFacts {
        TensorFacts {
            name: name.to_owned(),
            dtype: "FLOAT32".to_owned(),
            shape: vec![2],
            shape_signature: vec![],
            quantization: None,
            constant_bytes: None,
            variable: false,
            sparse: false,
        }
    }

    #[test]
    fn arrows_follow_computed_tensors() {
        let operator = |name: &str, inputs: &[Option<usize>], output: usize| OperatorFacts {
            name: name.to_owned(),
            version: 1,
            inputs: inputs.to_vec(),
            outputs: vec![output],
            options: None,
        };
        let facts = Facts {
            name: None,
            inputs: vec![0],
            outputs: vec![3],
            tensors: ["x", "weights", "y", "z"].map(tensor).into(),
            operators: vec![
                operator("CONV_2D", &[Some(0), Some(1), None], 2),
                operator("MUL", &[Some(2), Some(2)], 3),
            ],
        };
        let drawn = graph(0, &facts, &BTreeSet::from(["MUL"]));
        let edges: Vec<(usize, usize)> = drawn.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(edges, [(0, 1), (1, 2), (2, 3)]);
        let roles: Vec<Role> = drawn.nodes.iter().map(|node| node.role).collect();
        assert_eq!(roles, [Role::Input, Role::Layer, Role::Unsupported, Role::Output]);
        assert!(drawn.nodes[1].details.contains(&("input 2".to_owned(), "left out".to_owned())));
    }

    #[test]
    fn long_names_keep_their_end() {
        let name = "model/block_12/expand/BatchNorm/FusedBatchNormV3";
        assert_eq!(shortened(name).chars().count(), 32);
        assert!(shortened(name).ends_with("FusedBatchNormV3"));
        assert_eq!(shortened("x"), "x");
    }
}
