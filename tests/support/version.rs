//! The version of a model's operator, read and set.

use ferrolite_model::{Model, ModelBuilder};

fn parse(bytes: &[u8]) -> Result<Model, String> {
    Model::parse(bytes.to_vec()).map_err(|e| format!("load: {e}"))
}

/// The version that a model gives its operators of this name; `None` if it has none.
pub fn of(bytes: &[u8], operator: &str) -> Option<i32> {
    let model = parse(bytes).ok()?;
    let mut operators = model.subgraphs().iter().flat_map(|subgraph| &subgraph.operators);
    operators.find(|o| o.code.to_string() == operator).map(|o| o.version)
}

/// The model with this version for all its operators of this name.
pub fn set(bytes: &[u8], operator: &str, version: i32) -> Result<Vec<u8>, String> {
    let model = parse(bytes)?;
    let mut builder = ModelBuilder::from(&model);
    for subgraph in 0..model.subgraphs().len() {
        let operators = &mut builder.subgraph_mut(subgraph).operators;
        operators.iter_mut().filter(|o| o.code.to_string() == operator).for_each(|o| o.version = version);
    }
    builder.to_bytes().map_err(|e| format!("write: {e}"))
}
