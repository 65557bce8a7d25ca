// Weights of four bits in blocks of 32 that share a scale: the first 16 of a block in the low halves of its four
// words' bytes, the others in the high ones. Four of a row.
@group(0) @binding(3) var<storage, read> weights: array<u32>;
@group(0) @binding(4) var<storage, read> scales: array<f32>;

fn weight(row: u32, at: u32) -> vec4<f32> {
    let place = row * (params.inputs / 4u) + at;
    let block = place / 8u;
    let part = place % 8u;
    let word = weights[block * 4u + part % 4u] >> ((part / 4u) * 4u);
    let quants = vec4<u32>(word & 15u, (word >> 8u) & 15u, (word >> 16u) & 15u, (word >> 24u) & 15u);
    return (vec4<f32>(quants) - 8.0) * scales[block];
}
