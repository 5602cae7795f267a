//! What all interpreters of one model share: the verified file, the rewritten graphs, the packed weights.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::{Model, OpCode};
use ferrolite_ops::{ModelDigest, PackCache, Registry};
use ferrolite_plan::{Error, Fusion, Graph, rewrite, unsupported_operators};

/// A model ready for interpreters, immutable from outside and shareable between threads.
pub struct SharedModel {
    model: Arc<Model>,
    registry: Arc<Registry>,
    packs: PackCache,
    digest: OnceLock<ModelDigest>,
    graphs: Mutex<HashMap<GraphKey, Arc<Graph>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct GraphKey {
    subgraph: usize,
    fusion: Fusion,
}

impl SharedModel {
    /// Takes a verified model.
    #[must_use]
    pub fn new(model: Model, registry: Registry) -> Self {
        Self {
            packs: PackCache::releasing(model.source().clone()),
            model: Arc::new(model),
            registry: Arc::new(registry),
            digest: OnceLock::new(),
            graphs: Mutex::default(),
        }
    }

    /// The model file.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The operators that the model's graphs may use.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The store of packed weights.
    #[must_use]
    pub fn packs(&self) -> &PackCache {
        &self.packs
    }

    /// What tells the model file from others; computed once.
    #[must_use]
    pub fn digest(&self) -> ModelDigest {
        *self.digest.get_or_init(|| ModelDigest::of(self.model.source()))
    }

    /// Operators that are not supported, with how often they occur.
    #[must_use]
    pub fn unsupported_operators(&self) -> Vec<(OpCode, usize)> {
        unsupported_operators(&self.model, &self.registry)
    }

    /// The rewritten graph of a subgraph, made on first use. Constants folded in it are shared through it.
    ///
    /// # Errors
    /// Those of [`Graph::new`].
    pub fn graph(&self, subgraph: usize, cpu: Cpu, fusion: Fusion) -> Result<Arc<Graph>, Error> {
        let key = GraphKey { subgraph, fusion };
        let mut graphs = self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = graphs.get(&key) {
            return Ok(graph.clone());
        }
        let mut graph = Graph::new(&self.model, subgraph, &self.registry)?;
        rewrite(&mut graph, cpu, fusion);
        let graph = Arc::new(graph);
        graphs.insert(key, graph.clone());
        Ok(graph)
    }
}
