// Element-wise operators of two operands with broadcasting over up to four dimensions.
// Strides are in elements, 0 along broadcast dimensions; an operand may lie among the constants.

struct Params {
    dims: vec4<u32>,
    strides_a: vec4<u32>,
    strides_b: vec4<u32>,
    a: u32, b: u32, dst: u32, total: u32,
    a_constant: u32, b_constant: u32, lo: f32, hi: f32,
    hard_swish: u32, unused0: u32, unused1: u32, unused2: u32,
}

override OP: u32;

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

fn load(constant: u32, at: u32) -> f32 {
    if constant == 1u {
        return weights[at];
    }
    return arena[at];
}

fn apply(a: f32, b: f32) -> f32 {
    switch OP {
        case 0u: { return a + b; }
        case 1u: { return a - b; }
        case 2u: { return a * b; }
        case 3u: { return a / b; }
        case 4u: { return max(a, b); }
        case 5u: { return min(a, b); }
        case 6u: { return (a - b) * (a - b); }
        default: { return select(a, a * b, a < 0.0); }
    }
}

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
    let a = load(p.a_constant, p.a + dot(at, p.strides_a));
    let b = load(p.b_constant, p.b + dot(at, p.strides_b));
    let x = apply(a, b);
    if p.hard_swish == 1u {
        arena[p.dst + i] = x * clamp(x / 6.0 + 0.5, 0.0, 1.0);
    } else {
        arena[p.dst + i] = clamp(x, p.lo, p.hi);
    }
}
