// Fours of numbers in the workgroup's memory, in f16; those of `x` divided by the largest of them, so that none is too
// large.
struct FourOfX {
    parts: vec4<f16>,
    size: f32,
}
alias FourOfWeights = vec4<f16>;

fn four_of_x(x: vec4<f32>) -> FourOfX {
    let size = max(max(abs(x.x), abs(x.y)), max(abs(x.z), abs(x.w)));
    return FourOfX(vec4<f16>(x / max(size, 1e-30)), size);
}

fn products(x: FourOfX, w0: FourOfWeights, w1: FourOfWeights, w2: FourOfWeights, w3: FourOfWeights) -> vec4<f32> {
    let p = x.parts;
    return x.size * vec4<f32>(vec4<f16>(dot(p, w0), dot(p, w1), dot(p, w2), dot(p, w3)));
}
