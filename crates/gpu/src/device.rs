//! Finding an adapter and opening a device on it.

use std::sync::{Arc, Mutex, PoisonError};

use ferrolite_ops::OpError;
use ferrolite_plan::{Error, ErrorKind};

use crate::pipeline::Pipelines;

/// Which adapter to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The fastest the system offers, a software one if there is no other.
    #[default]
    Any,
    /// Only hardware.
    Hardware,
}

/// An open GPU device with the pipelines compiled for it. Programs and interpreters may share one.
pub struct GpuDevice {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) pipelines: Pipelines,
    pub(crate) limits: wgpu::Limits,
    info: wgpu::AdapterInfo,
    fault: Arc<Fault>,
}

/// The first error that no call could report: a lost device, a failure of the driver in the background.
#[derive(Default)]
struct Fault(Mutex<Option<String>>);

impl Fault {
    fn set(&self, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
            refuse(format!(
                "no GPU adapter was found: install a Vulkan, Metal or Direct3D 12 driver, or run on the CPU ({e})"
            ))
        })?;
        let info = adapter.get_info();
        if choice == AdapterChoice::Hardware && info.device_type == wgpu::DeviceType::Cpu {
            return Err(refuse(format!(
                "the only GPU adapter is a software one, {}: run on the CPU instead",
                info.name
            )));
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
        let fault = Arc::new(Fault::default());
        let on_error = fault.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| on_error.set(e.to_string())));
        let on_loss = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Destroying a device that nobody uses any more counts as its loss.
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_loss.set(format!("the device was lost: {message}"));
            }
        });
        let pipelines = Pipelines::new(&device);
        let limits = device.limits();
        Ok(Self { device, queue, pipelines, limits, info, fault })
    }

    /// The adapter's name and the interface it is driven through, for reports.
    #[must_use]
    pub fn name(&self) -> String {
        let driver = format!("{} {}", self.info.driver, self.info.driver_info);
        format!("{} ({:?}, {})", self.info.name, self.info.backend, driver.trim())
    }

    /// Whether the adapter is software running on the CPU.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Calls `work`, turning what the device objects to meanwhile into an error; `doing` says what was tried.
    pub(crate) fn guarded<T>(&self, doing: &str, work: impl FnOnce() -> T) -> Result<T, OpError> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Internal, Validation].map(|filter| self.device.push_error_scope(filter));
        let result = work();
        // Scopes nest: the last one opened is closed first.
        let mut caught = None;
        for scope in scopes.into_iter().rev() {
            caught = caught.or(pollster::block_on(scope.pop()));
        }
        let failed =
            |why: String| OpError::runtime(format!("the GPU {} failed {doing}: {why}", self.info.name));
        match caught.map(|e| e.to_string()).or_else(|| self.fault.get()) {
            Some(why) => Err(failed(why)),
            None => Ok(result),
        }
    }
}
