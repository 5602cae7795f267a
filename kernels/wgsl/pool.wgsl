// Average and maximum over windows of NHWC pictures; padding takes no part. Each invocation computes one element.

struct Params {
    batch: u32, in_h: u32, in_w: u32, channels: u32,
    out_h: u32, out_w: u32, k_h: u32, k_w: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    src: u32, dst: u32, maximum: u32, unused0: u32,
    lo: f32, hi: f32, unused1: u32, unused2: u32,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x + id.y * 65535u * 64u;
    if i >= p.batch * p.out_h * p.out_w * p.channels {
        return;
    }
    let c = i % p.channels;
    let ox = (i / p.channels) % p.out_w;
    let oy = (i / (p.channels * p.out_w)) % p.out_h;
    let n = i / (p.channels * p.out_w * p.out_h);
    var sum = 0.0;
    var largest = -3.4028234e38;
    var count = 0.0;
    for (var ky = 0u; ky < p.k_h; ky++) {
        // Unsigned wrap-around makes rows above the picture larger than it; likewise columns.
        let y = oy * p.stride_h + ky - p.pad_h;
        if y >= p.in_h {
            continue;
        }
        for (var kx = 0u; kx < p.k_w; kx++) {
            let x = ox * p.stride_w + kx - p.pad_w;
            if x < p.in_w {
                let value = arena[p.src + ((n * p.in_h + y) * p.in_w + x) * p.channels + c];
                sum += value;
                largest = max(largest, value);
                count += 1.0;
            }
        }
    }
    let result = select(sum / max(count, 1.0), largest, p.maximum == 1u);
    arena[p.dst + i] = clamp(result, p.lo, p.hi);
}
