//! A plan as text: every step with its kernel, shapes and memory.

use core::fmt::Write;
use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::segment::{Place, Segment, StepOperand};

/// Describes the segments of a graph, a line per step.
#[must_use]
pub fn describe(graph: &Graph, segments: &[Segment]) -> String {
    let mut out = String::new();
    for (s, segment) in segments.iter().enumerate() {
        if segments.len() > 1 || segment.end < graph.nodes.len() {
            let _ = writeln!(
                out,
                "segment {s}: nodes {}..{} of {}",
                segment.start,
                segment.end,
                graph.nodes.len()
            );
        }
        let _ = writeln!(
            out,
            "arena: {} bytes, {} steps{}",
            segment.arena_bytes,
            segment.steps.len(),
            views(graph, segment)
        );
        for (i, step) in segment.steps.iter().enumerate() {
            let names = step.operators(graph);
            let operator = match names.as_slice() {
                [one] => one.clone(),
                several if step.backend.is_none() => several.join("+"),
                many => format!("{} operators", many.len()),
            };
            let fused: String = step
                .nodes
                .iter()
                .filter_map(|&n| graph.nodes[n].activation)
                .filter(|_| step.backend.is_none())
                .map(|a| format!("+{a}"))
                .collect();
            let inputs: Vec<String> =
                step.inputs.iter().filter(|o| o.tensor.is_some()).map(operand).collect();
            let outputs: Vec<String> = step.outputs.iter().map(operand).collect();
            let _ = write!(
                out,
                "{i:4}  {operator}{fused}  {}  ({}) -> ({})",
                step.kernel.name(),
                inputs.join(", "),
                outputs.join(", ")
            );
            if let Some(backend) = &step.backend {
                let _ = write!(out, "  on {backend}: {}", names.join(" "));
            }
            if let Some(why) = &step.refusal {
                let _ = write!(out, "  on the CPU, as {why}");
            }
            out.push('\n');
        }
    }
    out
}

/// The operators that make no step, with how often they occur.
fn views(graph: &Graph, segment: &Segment) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for &n in &segment.views {
        *counts.entry(graph.operator(&graph.nodes[n]).code.to_string()).or_default() += 1;
    }
    let list: Vec<String> = counts.iter().map(|(code, count)| format!("{code} ({count})")).collect();
    if list.is_empty() { String::new() } else { format!(", no step for {}", list.join(", ")) }
}

fn operand(o: &StepOperand) -> String {
    let place = match &o.place {
        Place::Arena { offset, .. } => format!("@{offset}"),
        Place::Slot(_) => String::new(),
        Place::Constant(_) | Place::Folded(_) => " const".to_owned(),
        Place::InPlace(_) => " in place".to_owned(),
        Place::Absent => " state".to_owned(),
    };
    let shape = if o.dynamic { "[?]".to_owned() } else { o.shape.to_string() };
    format!("{}{shape}{place}", o.dtype)
}
