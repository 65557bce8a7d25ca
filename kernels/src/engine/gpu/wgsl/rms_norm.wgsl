// Root-mean-square norm: a workgroup for each row.
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = group.y * groups.x + group.x;
    let first = row * params.width;
    var sum = 0.0;
    if (row < params.rows) {
        for (var i = index; i < params.width; i += 64u) {
            let value = x[first + i];
            sum += value * value;
        }
    }
    parts[index] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (index < half) {
            parts[index] += parts[index + half];
        }
    }
    workgroupBarrier();
    let scale = inverseSqrt(parts[0] / f32(params.width) + params.eps);
    if (row < params.rows) {
        for (var i = index; i < params.width; i += 64u) {
            out[first + i] = x[first + i] * scale * weights[i];
        }
    }
}
