//! A partition compiled for a device: buffers filled, bindings made, dispatches recorded.

use std::borrow::Cow;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferrolite_ops::{Context, Cost, Io, Kernel, OpError, OpErrorKind};
use ferrolite_plan::backend::Partition;

use crate::constants::Constants;
use crate::device::GpuDevice;
use crate::dispatch::{Dispatch, Encoder};
use crate::memory::Memory;
use crate::op;
use crate::params;

/// How long another thread may take to report results that it collected before the device is asked again.
const REPORT: Duration = Duration::from_millis(1);

/// A partition ready to run: one compute pass over one arena.
pub(crate) struct Program {
    device: Arc<GpuDevice>,
    launches: Vec<Launch>,
    bindings: wgpu::BindGroup,
    inputs: Vec<Region>,
    outputs: Vec<Region>,
    /// Runs take turns, as the buffers hold the tensors of one.
    buffers: Mutex<Buffers>,
    ops: f64,
}

struct Launch {
    pipeline: wgpu::ComputePipeline,
    groups: [u32; 3],
}

/// The buffers that a run writes.
struct Buffers {
    arena: wgpu::Buffer,
    /// Outputs, one behind the other, on their way back.
    staging: wgpu::Buffer,
}

/// A tensor in the arena, in bytes.
#[derive(Clone, Copy, Debug)]
struct Region {
    offset: u64,
    len: u64,
}

impl Program {
    /// Compiles nodes that all can be read.
    ///
    /// # Errors
    /// When the device's limits are exceeded or it fails.
    pub fn new(device: Arc<GpuDevice>, partition: &Partition<'_>) -> Result<Self, OpError> {
        let ops: Vec<op::Op> =
            partition.nodes.iter().map(op::read).collect::<Result<_, _>>().map_err(OpError::unsupported)?;
        let memory = Memory::new(partition, &ops)?;
        let mut encoder =
            Encoder { memory: &memory, constants: Constants::default(), dispatches: Vec::new() };
        for (op, node) in ops.iter().zip(&partition.nodes) {
            encoder.node(op, node)?;
        }
        let Encoder { constants, dispatches, .. } = encoder;
        let launches = dispatches
            .iter()
            .map(|d| Ok(Launch { pipeline: device.pipeline(d.pipeline)?, groups: d.groups }))
            .collect::<Result<_, OpError>>()?;
        let inputs = regions(&partition.inputs, partition, &memory)?;
        let outputs = regions(&partition.outputs, partition, &memory)?;
        let (bindings, buffers) = allocate(&device, &memory, constants, &dispatches, &outputs)?;
        let ops = dispatches.iter().map(|d| d.ops).sum();
        Ok(Self { device, launches, bindings, inputs, outputs, buffers: Mutex::new(buffers), ops })
    }

    fn encode(&self, buffers: &Buffers) -> wgpu::CommandBuffer {
        let mut encoder =
            self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // All dispatches share one pass: within it each sees what those before it wrote.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (i, launch) in self.launches.iter().enumerate() {
            let [x, y, z] = launch.groups;
            pass.set_pipeline(&launch.pipeline);
            pass.set_bind_group(0, &self.bindings, &[(i * params::STRIDE) as u32]);
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        let mut at = 0;
        for region in &self.outputs {
            encoder.copy_buffer_to_buffer(&buffers.arena, region.offset, &buffers.staging, at, region.len);
            at += region.len;
        }
        encoder.finish()
    }

    fn upload(&self, io: &Io<'_>, buffers: &Buffers) -> Result<(), OpError> {
        for (i, region) in self.inputs.iter().enumerate() {
            let bytes = io.inputs.bytes(i)?;
            check_len("input", i, bytes.len(), region)?;
            self.device.queue.write_buffer(&buffers.arena, region.offset, bytes);
        }
        Ok(())
    }

    /// Waits for the submission and copies the outputs out of the staging buffer, which it leaves mapped.
    fn download(
        &self,
        io: &mut Io<'_>,
        buffers: &Buffers,
        submission: wgpu::SubmissionIndex,
    ) -> Result<(), OpError> {
        let (done, mapped) = mpsc::channel();
        buffers.staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver waits below; it is gone only if waiting failed.
            let _ = done.send(result);
        });
        let wait = || wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None };
        // Whoever polls a device collects what is finished for all its programs and reports it afterwards: another
        // thread may be about to report this one.
        loop {
            self.device
                .device
                .poll(wait())
                .map_err(|e| OpError::runtime(format!("waiting for the GPU failed: {e}")))?;
            match mapped.recv_timeout(REPORT) {
                Ok(Ok(())) => break,
                Ok(Err(e)) => return Err(OpError::runtime(format!("the GPU's results cannot be read: {e}"))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(OpError::runtime("the GPU finished without handing over its results"));
                }
            }
        }
        let staged = buffers
            .staging
            .get_mapped_range(..)
            .map_err(|e| OpError::runtime(format!("the GPU's results cannot be read: {e}")))?;
        let mut rest = &staged[..];
        for (i, region) in self.outputs.iter().enumerate() {
            let out = io.outputs.bytes(i)?;
            check_len("output", i, out.len(), region)?;
            let (own, behind) =
                rest.split_at_checked(out.len()).ok_or_else(|| OpError::runtime("results are short"))?;
            out.copy_from_slice(own);
            rest = behind;
        }
        Ok(())
    }
}

impl Kernel for Program {
    fn name(&self) -> Cow<'static, str> {
        format!("gpu_program_{}_dispatches", self.launches.len()).into()
    }

    fn cost(&self) -> Cost {
        Cost { ops: self.ops }
    }

    fn run(&self, io: &mut Io<'_>, cx: &mut dyn Context) -> Result<(), OpError> {
        cx.check_cancelled()?;
        let buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        self.device.guarded("running", || {
            self.upload(io, &buffers)?;
            let submission = self.device.queue.submit([self.encode(&buffers)]);
            let result = self.download(io, &buffers, submission);
            // Whether it got mapped or not, the next run needs it unmapped.
            buffers.staging.unmap();
            result
        })?
    }
}

/// The regions of a partition's inputs or outputs.
fn regions(tensors: &[usize], partition: &Partition<'_>, memory: &Memory) -> Result<Vec<Region>, OpError> {
    let info = |wanted: usize| {
        partition.nodes.iter().find_map(|node| {
            let inputs = node.inputs.iter().zip(node.node.inputs);
            let read = inputs.filter_map(|(t, operand)| Some(((*t)?, operand.as_ref()?.info)));
            let written = node.outputs.iter().copied().zip(node.node.outputs);
            read.chain(written).find(|(t, _)| *t == wanted).map(|(_, info)| info)
        })
    };
    let region = |&t: &usize| {
        let info =
            info(t).ok_or_else(|| OpError::invalid(format!("no node of the partition has tensor {t}")))?;
        Ok(Region { offset: memory.offset(t)? as u64, len: info.byte_len()? as u64 })
    };
    tensors.iter().map(region).collect()
}

/// Creates the buffers and fills those that runs only read.
fn allocate(
    device: &GpuDevice,
    memory: &Memory,
    constants: Constants,
    dispatches: &[Dispatch],
    outputs: &[Region],
) -> Result<(wgpu::BindGroup, Buffers), OpError> {
    use wgpu::BufferUsages as Usage;
    let constants = constants.into_elements();
    let parameters: Vec<u8> = dispatches.iter().flat_map(|d| d.params.bytes()).collect();
    let arena = (memory.bytes as u64).max(16);
    let binding = device.limits.max_storage_buffer_binding_size;
    within("arena", arena, binding)?;
    within("constants", size_of_val(constants.as_slice()) as u64, binding)?;
    let whole = device.limits.max_buffer_size;
    within("arena", arena, whole)?;
    within("constants", size_of_val(constants.as_slice()) as u64, whole)?;
    within("parameters", parameters.len() as u64, whole.min(u64::from(u32::MAX)))?;
    device.guarded("allocating memory", || {
        let create = |label, size: u64, usage| {
            device.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let filled = |label, bytes: &[u8], usage| {
            let least = params::STRIDE as u64;
            let buffer = create(label, (bytes.len() as u64).max(least), usage | Usage::COPY_DST);
            device.queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let arena = create("arena", arena, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC);
        let constants = filled("constants", bytemuck::cast_slice(&constants), Usage::STORAGE);
        let parameters = filled("parameters", &parameters, Usage::UNIFORM);
        let staged: u64 = outputs.iter().map(|o| o.len).sum();
        let staging = create("outputs", staged.max(16), Usage::MAP_READ | Usage::COPY_DST);
        let bindings = device.pipelines.bind(&device.device, &arena, &constants, &parameters);
        (bindings, Buffers { arena, staging })
    })
}

fn within(what: &str, bytes: u64, limit: u64) -> Result<(), OpError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(OpError::new(
        OpErrorKind::Limit,
        format!(
            "{what}: {bytes} bytes are needed, this GPU grants {limit} at once; use smaller inputs or the CPU"
        ),
    ))
}

fn check_len(what: &str, i: usize, have: usize, region: &Region) -> Result<(), OpError> {
    if have as u64 == region.len {
        return Ok(());
    }
    Err(OpError::invalid(format!("{what} {i} has {have} bytes, the program was compiled for {}", region.len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_beyond_a_limit_are_refused_by_name() {
        assert_eq!(within("arena", 10, 10), Ok(()));
        let refused = within("arena", 11, 10).unwrap_err();
        assert_eq!(refused.kind(), OpErrorKind::Limit);
        assert!(refused.message().starts_with("arena: 11 bytes"), "{refused}");
    }
}
