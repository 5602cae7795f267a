//! From what a node computes to the dispatches that compute it.

use ferrolite_kernels::wgsl;
use ferrolite_ops::OpError;
use ferrolite_plan::backend::BackendNode;

use crate::constants::{Constants, floats};
use crate::geometry::{Activation, Axis, Window, usize_of};
use crate::memory::Memory;
use crate::op::{Block, Op};
use crate::params::{MAX_GROUPS, Params, groups_1d};
use crate::pipeline::PipelineKey;

/// One launch of a shader.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub pipeline: PipelineKey,
    pub params: Params,
    /// Workgroups along each axis.
    pub groups: [u32; 3],
    /// Arithmetic operations.
    pub ops: f64,
}

/// Appends the dispatches of nodes, and the constants they read.
pub(crate) struct Encoder<'a> {
    pub memory: &'a Memory,
    pub constants: Constants,
    pub dispatches: Vec<Dispatch>,
}

impl Encoder<'_> {
    /// Appends a node.
    ///
    /// # Errors
    /// When a constant does not have the size that the node's shapes ask for, or something is too large for a shader.
    pub fn node(&mut self, op: &Op, node: &BackendNode<'_>) -> Result<(), OpError> {
        match op {
            Op::Alias => Ok(()),
            Op::Conv(conv) => self.conv(conv, node),
            Op::Depthwise(conv) => self.depthwise(conv, node),
            &Op::Pool { batch, y, x, channels, maximum, activation } => {
                let total = usize_of(batch * y.output * x.output) * usize_of(channels);
                let params = Params::new()
                    .u(&[batch, y.input, x.input, channels, y.output, x.output])
                    .u(&[y.window, x.window, y.stride, x.stride, y.pad, x.pad])
                    .u(&[self.source(node, 0)?, self.target(node)?, u32::from(maximum), 0])
                    .f(&[activation.lo, activation.hi]);
                let ops = total as f64 * f64::from(y.window) * f64::from(x.window);
                self.push(wgsl::POOL, 0, params, groups_1d(total), ops);
                Ok(())
            }
            Op::Binary { op, dims, strides, activation } => {
                let (a, a_constant) = self.operand(node, 0)?;
                let (b, b_constant) = self.operand(node, 1)?;
                let total: u32 = dims.iter().product();
                let params = Params::new()
                    .u(dims)
                    .u(&strides[0])
                    .u(&strides[1])
                    .u(&[a, b, self.target(node)?, total, u32::from(a_constant), u32::from(b_constant)])
                    .f(&[activation.lo, activation.hi])
                    .u(&[u32::from(activation.hard_swish)]);
                self.push(wgsl::BINARY, *op, params, groups_1d(usize_of(total)), f64::from(total));
                Ok(())
            }
            &Op::Unary { op, total, activation, alpha } => {
                let params = Params::new().u(&[self.source(node, 0)?, self.target(node)?, total, 0]).f(&[
                    activation.lo,
                    activation.hi,
                    alpha,
                ]);
                self.push(wgsl::UNARY, op, params, groups_1d(usize_of(total)), f64::from(total));
                Ok(())
            }
            &Op::Softmax { rows, len, beta } => {
                let params =
                    Params::new().u(&[self.source(node, 0)?, self.target(node)?, rows, len]).f(&[beta]);
                // One group of 64 invocations per row.
                let groups = groups_1d(usize_of(rows) * 64);
                self.push(wgsl::SOFTMAX, 0, params, groups, 5.0 * f64::from(rows) * f64::from(len));
                Ok(())
            }
            Op::Copy { fill, blocks } => {
                if let &Some((value, total)) = fill {
                    let flat =
                        Block { dims: [1, 1, 1, total], dst_strides: [0, 0, 0, 1], ..Block::default() };
                    self.copy(&flat, 0, self.target(node)?, Some(value));
                }
                for block in blocks {
                    let src = self.source(node, block.input)? + block.src;
                    self.copy(block, src, self.target(node)? + block.dst, None);
                }
                Ok(())
            }
        }
    }

    fn conv(&mut self, conv: &Window, node: &BackendNode<'_>) -> Result<(), OpError> {
        let (out_c, in_c) = (usize_of(conv.out_c), usize_of(conv.in_c));
        let filters = floats(node.node.input(1)?, out_c * conv.taps() * in_c)?;
        let filter4 = self.constants.push_filters(&filters, out_c, conv.taps(), in_c)?;
        let bias4 = self.constants.push_bias(node.node.optional(2), out_c)? / 4;
        // A group covers eight vectors of channels and sixteen pixels.
        let out_c4 = conv.out_c.div_ceil(4);
        let (across, down) = (out_c4.div_ceil(8), conv.pixels().div_ceil(16));
        if across > MAX_GROUPS {
            return Err(OpError::unsupported(
                "a convolution has more output channels than a dispatch covers",
            ));
        }
        let groups = [across, down.min(MAX_GROUPS), down.div_ceil(MAX_GROUPS)];
        let params = self.window(node, conv, out_c4)?.u(&[filter4, bias4]);
        let ops = 2.0 * f64::from(conv.pixels()) * filters.len() as f64;
        self.push(wgsl::CONV2D, 0, epilogue(params, conv.activation), groups, ops);
        Ok(())
    }

    fn depthwise(&mut self, conv: &Window, node: &BackendNode<'_>) -> Result<(), OpError> {
        let out_c = usize_of(conv.out_c);
        let filters = floats(node.node.input(1)?, conv.taps() * out_c)?;
        let ops = 2.0 * f64::from(conv.pixels()) * filters.len() as f64;
        let filter = self.constants.push(filters)?;
        let bias = self.constants.push_bias(node.node.optional(2), out_c)?;
        let params = self.window(node, conv, conv.out_c / conv.in_c)?.u(&[filter, bias]);
        let groups = groups_1d(usize_of(conv.pixels()) * out_c);
        self.push(wgsl::DEPTHWISE, 0, epilogue(params, conv.activation), groups, ops);
        Ok(())
    }

    /// Copies a block between elements of the arena, or fills it.
    fn copy(&mut self, block: &Block, src: u32, dst: u32, fill: Option<f32>) {
        let total: u32 = block.dims.iter().product();
        let params = Params::new()
            .u(&block.dims)
            .u(&block.src_strides)
            .u(&block.dst_strides)
            .u(&[src, dst, total, u32::from(fill.is_some())])
            .f(&[fill.unwrap_or(0.0)]);
        self.push(wgsl::COPY, 0, params, groups_1d(usize_of(total)), 0.0);
    }

    /// The parameters that convolutions begin with; `group` is a count that follows the output channels.
    fn window(&self, node: &BackendNode<'_>, conv: &Window, group: u32) -> Result<Params, OpError> {
        let (y, x) = (&conv.y, &conv.x);
        let per_axis = |of: fn(&Axis) -> u32| [of(y), of(x)];
        Ok(Params::new()
            .u(&[conv.batch, y.input, x.input, conv.in_c, y.output, x.output, conv.out_c, group])
            .u(&per_axis(|a| a.window))
            .u(&per_axis(|a| a.stride))
            .u(&per_axis(|a| a.dilation))
            .u(&per_axis(|a| a.pad))
            .u(&[self.source(node, 0)?, self.target(node)?]))
    }

    /// Where an operand lies, and whether among the constants.
    fn operand(&mut self, node: &BackendNode<'_>, i: usize) -> Result<(u32, bool), OpError> {
        let operand = node.node.input(i)?;
        if operand.value.is_none() {
            return Ok((self.source(node, i)?, false));
        }
        let elements = floats(operand, operand.info.shape.num_elements()?)?;
        Ok((self.constants.push(elements)?, true))
    }

    fn source(&self, node: &BackendNode<'_>, i: usize) -> Result<u32, OpError> {
        let tensor = node.inputs.get(i).copied().flatten();
        self.memory.element(tensor.ok_or_else(|| OpError::invalid(format!("input {i} is missing")))?)
    }

    fn target(&self, node: &BackendNode<'_>) -> Result<u32, OpError> {
        self.memory.element(*node.outputs.first().ok_or_else(|| OpError::invalid("output 0 is missing"))?)
    }

    fn push(&mut self, shader: wgsl::Shader, op: u32, params: Params, groups: [u32; 3], ops: f64) {
        self.dispatches.push(Dispatch { pipeline: PipelineKey { shader, op }, params, groups, ops });
    }
}

/// Appends what convolutions do to a sum before storing it.
fn epilogue(params: Params, activation: Activation) -> Params {
    params.u(&[u32::from(activation.hard_swish), 0]).f(&[activation.lo, activation.hi])
}
