//! A loaded model.

use std::sync::Arc;

use ferrolite_model::Bytes;
use ferrolite_ops::{OpSpec, Registry};
use ferrolite_runtime::SharedModel;

use crate::Result;
use crate::signature::Signature;

/// A verified model, with the weights that its interpreters have packed. Cloning shares it.
#[derive(Clone)]
pub struct Model(Arc<SharedModel>);

/// One signature: a named entry point with named inputs and outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureInfo {
    /// Its key, such as `serving_default`.
    pub key: String,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// The subgraph it runs.
    pub subgraph: usize,
}

impl Model {
    /// Verifies a model held in memory: a `Vec<u8>`, an `Arc<[u8]>`, a `&'static [u8]`. Nothing is copied.
    ///
    /// # Errors
    /// [`crate::ErrorKind::BadModel`] when the bytes are no valid model.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        let model = ferrolite_model::Model::parse(bytes)?;
        Ok(Self(Arc::new(SharedModel::new(model, registry()))))
    }

    /// Reads and verifies a file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`] when it cannot be read, otherwise as [`Model::from_bytes`].
    #[cfg(feature = "std")]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| {
            crate::Error::new(crate::ErrorKind::Io, format!("cannot read the model {}: {e}", path.display()))
        })?;
        Self::from_bytes(bytes)
    }

    /// The same model with a custom operator, which takes precedence over one of the same name. The file is shared,
    /// packed weights are not.
    ///
    /// See the [module `custom`](crate::custom).
    #[must_use]
    pub fn with_custom_op<T: crate::custom::CustomOp>(&self) -> Self {
        let mut registry = self.0.registry().clone();
        registry.register(OpSpec::of::<T>());
        Self(Arc::new(SharedModel::new(self.graph().clone(), registry)))
    }

    /// The file's content: subgraphs, tensors, operators, metadata.
    #[must_use]
    pub fn graph(&self) -> &ferrolite_model::Model {
        self.0.model()
    }

    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> Vec<SignatureInfo> {
        let names = |list: &[(String, usize)]| list.iter().map(|(name, _)| name.clone()).collect();
        self.graph()
            .signatures()
            .iter()
            .map(|s| SignatureInfo {
                key: s.key.clone(),
                inputs: names(&s.inputs),
                outputs: names(&s.outputs),
                subgraph: s.subgraph,
            })
            .collect()
    }

    /// The signature with this key, to run it with [`crate::Interpreter::runner`].
    ///
    /// # Errors
    /// When there is none; the error names those there are.
    pub fn signature(&self, key: &str) -> Result<Signature> {
        Signature::new(self, key)
    }

    /// Operators the model uses that are not supported, with how often each occurs; empty for a model that can run.
    #[must_use]
    pub fn unsupported_operators(&self) -> Vec<(String, usize)> {
        self.0.unsupported_operators().into_iter().map(|(code, count)| (code.to_string(), count)).collect()
    }

    /// Number of weight tensors that interpreters of this model have packed so far and share.
    #[must_use]
    pub fn packed_weights(&self) -> usize {
        self.0.packs().len()
    }

    pub(crate) fn shared(&self) -> &Arc<SharedModel> {
        &self.0
    }
}

impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Model({} subgraphs)", self.graph().subgraphs().len())
    }
}

/// The operators that this build of the library knows.
pub(crate) fn registry() -> Registry {
    #[cfg_attr(not(feature = "flex"), expect(unused_mut, reason = "features add to it"))]
    let mut registry = Registry::builtin();
    #[cfg(feature = "flex")]
    ferrolite_flex::register(&mut registry);
    registry
}
