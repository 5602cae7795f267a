//! Packed weights: made once for a model, shared by its interpreters, kept in a file from one run to the next.

mod digest;
mod file;
mod table;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::{Lines, Packing, Shelf};
use ferrolite_model::Bytes;

use crate::error::OpError;
use crate::node::{ConstSource, Operand};

pub use file::{PackFile, PackFileStatus};
pub use table::{ModelDigest, PackIdentity, PackRejection};

/// What tells one packing of constants from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PackKey {
    cpu: &'static str,
    layout: &'static str,
    params: Vec<u64>,
    sources: Vec<ConstSource>,
}

/// A packing, and the memory that a file would keep of it.
struct Packed {
    value: Arc<dyn Any + Send + Sync>,
    parts: Vec<Lines<u8>>,
}

/// Weights in the layouts that kernels want, packed once and shared by all interpreters of a model. Clones share them.
#[derive(Clone, Default)]
pub struct PackCache {
    entries: Arc<Mutex<HashMap<PackKey, Packed>>>,
    /// What constants that were packed are a part of.
    model: Bytes,
    /// Where packings of earlier runs are, and where new ones are to be kept.
    kept: Option<Arc<PackFile>>,
}

impl PackCache {
    /// A cache that tells the owner of `model` which parts of it have been packed, and so are not needed for now.
    #[must_use]
    pub fn releasing(model: Bytes) -> Self {
        Self { model, ..Self::default() }
    }

    /// The same packings, with a file beside them.
    #[must_use]
    pub fn with_file(&self, file: Option<Arc<PackFile>>) -> Self {
        Self { kept: file, ..self.clone() }
    }

    /// The packing `layout` (with further `params`) of the given constant operands for `cpu`, made by `make` when it is asked
    /// for first. What `make` reads from the parts of a [`Packing`] it need not compute: it must take from the operands only
    /// what is small, and leave the weights to the packing.
    ///
    /// Operands that do not come from the model file alone are packed anew each time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get_or_pack<T: Any + Send + Sync>(
        &self,
        cpu: Cpu,
        layout: &'static str,
        params: &[u64],
        operands: &[Option<&Operand<'_>>],
        make: impl FnOnce(Packing<'_>) -> Result<T, OpError>,
    ) -> Result<Arc<T>, OpError> {
        let sources: Option<Vec<ConstSource>> = operands.iter().flatten().map(|o| o.source).collect();
        let Some(sources) = sources else {
            return make(cpu.into()).map(Arc::new);
        };
        let key = PackKey { cpu: cpu.name(), layout, params: params.to_vec(), sources };
        let contents = || operands.iter().flatten().filter_map(|o| o.value.or(o.half));
        let kept = self.kept.as_deref().map(|file| (file, self.name(&key, contents())));
        // Holding the lock while packing keeps two interpreters that start at once from packing twice.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.get(&key).and_then(|e| Some((e.value.clone().downcast::<T>().ok()?, &e.parts)));
        if let Some((found, parts)) = found {
            if let Some((file, name)) = kept {
                file.keep(name, parts);
            }
            return Ok(found);
        }
        let shelf = Shelf::new(kept.as_ref().map(|(file, name)| file.find(name)).unwrap_or_default());
        let packed = Arc::new(make(Packing::new(cpu, &shelf))?);
        let (parts, complete) = shelf.into_parts();
        if let Some((file, name)) = kept {
            file.count(complete);
            file.keep(name, &parts);
        }
        entries.insert(key, Packed { value: packed.clone(), parts });
        contents().for_each(|bytes| self.model.release(bytes));
        Ok(packed)
    }

    /// The name of a packing in a file for one model and CPU: with the place of each constant in the model file, or a digest
    /// of one that was computed, which depends on more than the model.
    fn name<'b>(&self, key: &PackKey, contents: impl Iterator<Item = &'b [u8]>) -> Vec<u8> {
        let mut name = Vec::new();
        let mut number = |number: u64| name.extend(number.to_le_bytes());
        number(key.layout.len() as u64);
        number(key.params.len() as u64);
        key.params.iter().copied().for_each(&mut number);
        for source in &key.sources {
            number(u64::from(source.subgraph) << 32 | u64::from(source.tensor));
        }
        for content in contents {
            number(content.len() as u64);
            let start = content.as_ptr().addr().checked_sub(self.model.as_ptr().addr());
            match start.filter(|start| start.saturating_add(content.len()) <= self.model.len()) {
                Some(start) => number(start as u64),
                None => {
                    let digest = digest::digest(content);
                    number(u64::MAX);
                    number(digest as u64);
                    number((digest >> 64) as u64);
                }
            }
        }
        name.extend(key.layout.bytes());
        name
    }

    /// Number of packings held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is packed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
