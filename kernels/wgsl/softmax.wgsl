// Softmax along the innermost dimension: one workgroup per row.

struct Params { src: u32, dst: u32, rows: u32, len: u32, beta: f32, unused0: f32, unused1: f32, unused2: f32 }

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

const LANES = 64u;
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x + group.y * 65535u;
    // Every lane of a group sees the same row, so all of them leave together.
    if row >= p.rows {
        return;
    }
    let src = p.src + row * p.len;
    let dst = p.dst + row * p.len;

    var largest = -3.4028234e38;
    for (var i = lane; i < p.len; i += LANES) {
        largest = max(largest, arena[src + i]);
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    largest = partial[0];
    workgroupBarrier();

    var sum = 0.0;
    for (var i = lane; i < p.len; i += LANES) {
        sum += exp((arena[src + i] - largest) * p.beta);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let scale = 1.0 / partial[0];
    for (var i = lane; i < p.len; i += LANES) {
        arena[dst + i] = exp((arena[src + i] - largest) * p.beta) * scale;
    }
}
