// Weights in f16, two a word: four of a row.
@group(0) @binding(3) var<storage, read> weights: array<vec2<u32>>;

fn weight(row: u32, at: u32) -> vec4<f32> {
    let words = weights[row * (params.inputs / 4u) + at];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
