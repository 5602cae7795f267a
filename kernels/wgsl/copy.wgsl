// Copies a block of up to four dimensions between two layouts: padding, concatenation, slices, transposition.
// With `fill` set, writes a value instead of reading.

struct Params {
    dims: vec4<u32>,
    src_strides: vec4<u32>,
    dst_strides: vec4<u32>,
    src: u32, dst: u32, total: u32, fill: u32,
    value: f32, unused0: f32, unused1: f32, unused2: f32,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x + id.y * 65535u * 64u;
    if i >= p.total {
        return;
    }
    let at = vec4(
        i / (p.dims.y * p.dims.z * p.dims.w),
        (i / (p.dims.z * p.dims.w)) % p.dims.y,
        (i / p.dims.w) % p.dims.z,
        i % p.dims.w,
    );
    let to = p.dst + dot(at, p.dst_strides);
    if p.fill == 1u {
        arena[to] = p.value;
    } else {
        arena[to] = arena[p.src + dot(at, p.src_strides)];
    }
}
