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

@compute @workgroup_size(64)
fn main(place: Place) {
    let index = index_of(place);
    let row = place.group.y * place.groups.x + place.group.x;
    let first = row * params.width;
    var sum = 0.0;
    if (row < params.rows) {
        for (var i = index; i < params.width; i += 64u) {
            let value = x[first + i];
            sum += value * value;
        }
    }
    sum = total(place, sum);
    let scale = inverseSqrt(sum / f32(params.width) + params.eps);
    if (row < params.rows) {
        for (var i = index; i < params.width; i += 64u) {
            out[first + i] = x[first + i] * scale * weights[i];
        }
    }
}
