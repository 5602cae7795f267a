//! Compiled shaders and the bindings that all of them share.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use ferrolite_kernels::wgsl::Shader;
use ferrolite_ops::OpError;

use crate::device::GpuDevice;
use crate::params;

/// A shader, and the function chosen in it if it has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PipelineKey {
    pub shader: Shader,
    pub op: u32,
}

/// The pipelines of a device, compiled when first asked for.
pub(crate) struct Pipelines {
    bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    compiled: Mutex<HashMap<PipelineKey, wgpu::ComputePipeline>>,
}

impl Pipelines {
    pub fn new(device: &wgpu::Device) -> Self {
        let entry = |binding, ty, dynamic, size| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: dynamic,
                min_binding_size: NonZeroU64::new(size),
            },
            count: None,
        };
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let entries = [
            entry(0, storage(false), false, 16),
            entry(1, storage(true), false, 16),
            entry(2, wgpu::BufferBindingType::Uniform, true, params::STRIDE as u64),
        ];
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("arena, constants, parameters"),
            entries: &entries,
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("arena, constants, parameters"),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Self { bindings, layout, compiled: Mutex::default() }
    }

    /// The three buffers as shaders see them.
    pub fn bind(
        &self,
        device: &wgpu::Device,
        arena: &wgpu::Buffer,
        constants: &wgpu::Buffer,
        parameters: &wgpu::Buffer,
    ) -> wgpu::BindGroup {
        let one = wgpu::BufferBinding {
            buffer: parameters,
            offset: 0,
            size: NonZeroU64::new(params::STRIDE as u64),
        };
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("arena, constants, parameters"),
            layout: &self.bindings,
            entries: &[
                entry(0, arena.as_entire_binding()),
                entry(1, constants.as_entire_binding()),
                entry(2, wgpu::BindingResource::Buffer(one)),
            ],
        })
    }
}

impl GpuDevice {
    /// The pipeline of a shader.
    ///
    /// # Errors
    /// When the driver refuses to compile it.
    pub(crate) fn pipeline(&self, key: PipelineKey) -> Result<wgpu::ComputePipeline, OpError> {
        let Pipelines { layout, compiled, .. } = &self.pipelines;
        // Holding the lock while compiling keeps two programs that start at once from compiling twice.
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.get(&key) {
            return Ok(found.clone());
        }
        let name = key.shader.name;
        let pipeline = self.guarded(&format!("compiling the shader {name}"), || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(name),
                source: wgpu::ShaderSource::Wgsl(key.shader.source.into()),
            });
            let constants = [("OP", f64::from(key.op))];
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: if key.shader.has_op { &constants } else { &[] },
                    // Shaders write workgroup memory before they read it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })?;
        compiled.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}
