//! The backend as the planner sees it.

use std::sync::Arc;

use ferrolite_ops::{Kernel, OpError};
use ferrolite_plan::Error;
use ferrolite_plan::backend::{Backend, BackendNode, Partition};

use crate::device::{AdapterChoice, GpuDevice};
use crate::op;
use crate::program::Program;

/// Runs float32 steps on a GPU.
pub struct GpuBackend {
    device: Arc<GpuDevice>,
    min_nodes: usize,
}

/// Handing over fewer steps costs more in moving their data than it saves.
const MIN_NODES: usize = 3;

impl GpuBackend {
    /// A backend on the fastest adapter.
    ///
    /// # Errors
    /// As [`GpuDevice::open`].
    pub fn new(choice: AdapterChoice) -> Result<Self, Error> {
        GpuDevice::open(choice).map(Self::on)
    }

    /// A backend on an open device, which several may share.
    #[must_use]
    pub fn on(device: Arc<GpuDevice>) -> Self {
        Self { device, min_nodes: MIN_NODES }
    }

    /// Sets the fewest steps in a row that are handed to the GPU; 3 unless set.
    #[must_use]
    pub fn min_nodes(mut self, nodes: usize) -> Self {
        self.min_nodes = nodes;
        self
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<GpuDevice> {
        &self.device
    }
}

impl Backend for GpuBackend {
    fn name(&self) -> &str {
        "gpu"
    }

    fn supports(&self, node: &BackendNode<'_>) -> Result<(), String> {
        op::read(node).map(|_| ())
    }

    fn min_nodes(&self) -> usize {
        self.min_nodes
    }

    fn compile(&self, partition: &Partition<'_>) -> Result<Box<dyn Kernel>, OpError> {
        Program::new(self.device.clone(), partition).map(|p| Box::new(p) as Box<dyn Kernel>)
    }
}
