// SwiGLU: silu(a) * b, left in `a`. GELU, exact: of `a`, in place; `b` is not read.
struct Params {
    count: u32,
    // 0: SwiGLU. 1: GELU.
    kind: u32,
    unused0: u32,
    unused1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

// The error function, absolute error below 3e-7 (Abramowitz and Stegun 7.1.26).
fn erf(x: f32) -> f32 {
    let size = abs(x);
    let t = 1.0 / (0.3275911 * size + 1.0);
    var p = 1.061405429 * t - 1.453152027;
    p = p * t + 1.421413741;
    p = p * t - 0.284496736;
    p = p * t + 0.254829592;
    return sign(x) * (1.0 - p * t * exp(-size * size));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 64u + index;
    if (at >= params.count) {
        return;
    }
    let x = a[at];
    if (params.kind == 0u) {
        a[at] = x / (1.0 + exp(-x)) * b[at];
    } else {
        a[at] = 0.5 * x * (1.0 + erf(x * 0.70710678118));
    }
}
