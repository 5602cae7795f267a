//! Finding an adapter and opening a device on it.

use std::sync::Arc;

use ferrolite_plan::{Error, ErrorKind};

/// Which adapter to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The fastest the system offers, a software one if there is no other.
    #[default]
    Any,
    /// Only hardware.
    Hardware,
}

/// An open GPU device.
pub struct GpuDevice {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    pub(crate) limits: wgpu::Limits,
}

impl GpuDevice {
    /// Opens the fastest adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Backend`] when there is no adapter that fits, or it refuses to open.
    pub fn open(choice: AdapterChoice) -> Result<Arc<Self>, Error> {
        pollster::block_on(Self::open_async(choice)).map(Arc::new)
    }

    async fn open_async(choice: AdapterChoice) -> Result<Self, Error> {
        let refuse = |message: String| Error::new(ErrorKind::Backend, message);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|e| {
            refuse(format!("no GPU adapter was found: install a Vulkan, Metal or Direct3D 12 driver, or run on the CPU ({e})"))
        })?;
        let info = adapter.get_info();
        if choice == AdapterChoice::Hardware && info.device_type == wgpu::DeviceType::Cpu {
            return Err(refuse(format!("the only GPU adapter is a software one, {}: run on the CPU instead", info.name)));
        }
        // The adapter's own limits: models outgrow WebGPU's defaults.
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ferrolite"),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| refuse(format!("the GPU {} cannot be opened: {e}", info.name)))?;
        let limits = device.limits();
        Ok(Self { device, queue, info, limits })
    }

    /// The adapter's name and the interface it is driven through, for reports.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} ({:?}, {})", self.info.name, self.info.backend, self.info.driver_info)
    }

    /// Whether the adapter is software running on the CPU.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }
}
