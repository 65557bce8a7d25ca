// Weights of eight bits, four a word, and a scale for 32 of them: four of a row.
@group(0) @binding(3) var<storage, read> weights: array<u32>;
@group(0) @binding(4) var<storage, read> scales: array<f32>;

fn weight(row: u32, at: u32) -> vec4<f32> {
    let place = row * (params.inputs / 4u) + at;
    let word = bitcast<i32>(weights[place]);
    let quants = vec4<i32>(
        extractBits(word, 0u, 8u), extractBits(word, 8u, 8u), extractBits(word, 16u, 8u), extractBits(word, 24u, 8u),
    );
    return vec4<f32>(quants) * scales[place / 8u];
}
