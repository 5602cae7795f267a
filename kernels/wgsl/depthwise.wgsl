// Depthwise convolution over NHWC. Each invocation computes one output element.
// Filters are [kernel y][kernel x][output channel]; the bias follows.

struct Params {
    batch: u32, in_h: u32, in_w: u32, in_c: u32,
    out_h: u32, out_w: u32, out_c: u32, multiplier: u32,
    k_h: u32, k_w: u32, stride_h: u32, stride_w: u32,
    dil_h: u32, dil_w: u32, pad_h: u32, pad_w: u32,
    src: u32, dst: u32, filters: u32, bias: u32,
    hard_swish: u32, unused0: u32, lo: f32, hi: f32,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x + id.y * 65535u * 64u;
    if i >= p.batch * p.out_h * p.out_w * p.out_c {
        return;
    }
    let oc = i % p.out_c;
    let ox = (i / p.out_c) % p.out_w;
    let oy = (i / (p.out_c * p.out_w)) % p.out_h;
    let n = i / (p.out_c * p.out_w * p.out_h);
    var acc = weights[p.bias + oc];
    for (var ky = 0u; ky < p.k_h; ky++) {
        // Unsigned wrap-around makes rows above the picture larger than it; likewise columns.
        let y = oy * p.stride_h + ky * p.dil_h - p.pad_h;
        if y >= p.in_h {
            continue;
        }
        for (var kx = 0u; kx < p.k_w; kx++) {
            let x = ox * p.stride_w + kx * p.dil_w - p.pad_w;
            if x < p.in_w {
                let at = p.src + ((n * p.in_h + y) * p.in_w + x) * p.in_c + oc / p.multiplier;
                acc = fma(arena[at], weights[p.filters + (ky * p.k_w + kx) * p.out_c + oc], acc);
            }
        }
    }
    if p.hard_swish == 1u {
        arena[p.dst + i] = acc * clamp(acc / 6.0 + 0.5, 0.0, 1.0);
    } else {
        arena[p.dst + i] = clamp(acc, p.lo, p.hi);
    }
}
