// Fours of numbers in the workgroup's memory, as they are.
alias FourOfX = vec4<f32>;
alias FourOfWeights = vec4<f32>;

fn four_of_x(x: vec4<f32>) -> FourOfX {
    return x;
}

fn products(x: FourOfX, w0: FourOfWeights, w1: FourOfWeights, w2: FourOfWeights, w3: FourOfWeights) -> vec4<f32> {
    return vec4<f32>(dot(x, w0), dot(x, w1), dot(x, w2), dot(x, w3));
}
