// Weights in f32: four of a row.
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;

fn weight(row: u32, at: u32) -> vec4<f32> {
    return weights[row * (params.inputs / 4u) + at];
}
