// Convolution and dense layers over NHWC: an implicit matrix product.
//
// Each invocation computes two output pixels of four neighbouring output channels. Filters are packed
// [kernel y][kernel x][input channel][output channel / 4] as vectors of four; the bias follows per output channel.

struct Params {
    batch: u32, in_h: u32, in_w: u32, in_c: u32,
    out_h: u32, out_w: u32, out_c: u32, out_c4: u32,
    k_h: u32, k_w: u32, stride_h: u32, stride_w: u32,
    dil_h: u32, dil_w: u32, pad_h: u32, pad_w: u32,
    src: u32, dst: u32, filter4: u32, bias4: u32,
    hard_swish: u32, unused0: u32, lo: f32, hi: f32,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

fn activate(x: vec4<f32>) -> vec4<f32> {
    if p.hard_swish == 1u {
        return x * clamp(x / 6.0 + 0.5, vec4(0.0), vec4(1.0));
    }
    return clamp(x, vec4(p.lo), vec4(p.hi));
}

// First element of the input pixel under a filter tap, and whether it lies inside the picture.
struct Tap { at: u32, inside: bool }

fn tap(pixel: u32, ky: u32, kx: u32) -> Tap {
    let ox = pixel % p.out_w;
    let oy = (pixel / p.out_w) % p.out_h;
    let n = pixel / (p.out_w * p.out_h);
    // Unsigned wrap-around makes positions left of and above the picture larger than it.
    let y = oy * p.stride_h + ky * p.dil_h - p.pad_h;
    let x = ox * p.stride_w + kx * p.dil_w - p.pad_w;
    let inside = y < p.in_h && x < p.in_w;
    return Tap(select(0u, p.src + ((n * p.in_h + y) * p.in_w + x) * p.in_c, inside), inside);
}

fn store(pixel: u32, channel: u32, x: vec4<f32>) {
    let y = activate(x);
    let at = p.dst + pixel * p.out_c + channel;
    arena[at] = y.x;
    if channel + 1u < p.out_c { arena[at + 1u] = y.y; }
    if channel + 2u < p.out_c { arena[at + 2u] = y.z; }
    if channel + 3u < p.out_c { arena[at + 3u] = y.w; }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixels = p.batch * p.out_h * p.out_w;
    let c4 = id.x;
    let first = (id.y + id.z * 65535u * 8u) * 2u;
    if c4 >= p.out_c4 || first >= pixels {
        return;
    }
    let second = min(first + 1u, pixels - 1u);
    var acc0 = weights[p.bias4 + c4];
    var acc1 = acc0;
    for (var ky = 0u; ky < p.k_h; ky++) {
        for (var kx = 0u; kx < p.k_w; kx++) {
            let t0 = tap(first, ky, kx);
            let t1 = tap(second, ky, kx);
            var w = p.filter4 + (ky * p.k_w + kx) * p.in_c * p.out_c4 + c4;
            for (var c = 0u; c < p.in_c; c++) {
                let f = weights[w];
                acc0 = fma(vec4(select(0.0, arena[t0.at + c], t0.inside)), f, acc0);
                acc1 = fma(vec4(select(0.0, arena[t1.at + c], t1.inside)), f, acc1);
                w += p.out_c4;
            }
        }
    }
    store(first, c4 * 4u, acc0);
    if second != first {
        store(second, c4 * 4u, acc1);
    }
}
