//! Options of reading a model.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::bytes::Bytes;

/// Finds the files that a model keeps constants in.
pub trait ExternalFiles: Send + Sync {
    /// The content of `group`, the file name or URI as the model writes it; `None` if there is no such file. The name
    /// comes from the model: whoever opens files by it decides which folders it may reach.
    fn open(&self, group: &str) -> Option<Bytes>;
}

impl<F: Fn(&str) -> Option<Bytes> + Send + Sync> ExternalFiles for F {
    fn open(&self, group: &str) -> Option<Bytes> {
        self(group)
    }
}

impl ExternalFiles for HashMap<String, Bytes> {
    fn open(&self, group: &str) -> Option<Bytes> {
        self.get(group).cloned()
    }
}

impl ExternalFiles for BTreeMap<String, Bytes> {
    fn open(&self, group: &str) -> Option<Bytes> {
        self.get(group).cloned()
    }
}

/// Options of [`crate::Model::parse_with`].
#[derive(Clone)]
pub struct LoadOptions {
    /// Finds the files that constants outside the model are kept in. Without it a model that has such constants is
    /// refused.
    pub external_files: Option<Arc<dyn ExternalFiles>>,
    /// Accept constants whose file cannot be found; [`crate::Model::tensor_data`] then has nothing for them. For tools
    /// that look at a model without running it.
    pub allow_missing_files: bool,
    /// How deep subgraphs may call subgraphs.
    pub max_call_depth: usize,
    /// Most bytes that a sparse constant may have once dense: its file size says nothing about that.
    pub max_densified_bytes: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            external_files: None,
            allow_missing_files: false,
            max_call_depth: 64,
            max_densified_bytes: 1 << 30,
        }
    }
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("external_files", &self.external_files.is_some())
            .field("allow_missing_files", &self.allow_missing_files)
            .field("max_call_depth", &self.max_call_depth)
            .field("max_densified_bytes", &self.max_densified_bytes)
            .finish()
    }
}
