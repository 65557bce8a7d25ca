// Products with a weight matrix (outputs, inputs): the part that tiles and single tokens share. `inputs` is a
// multiple of four.
struct Params {
    tokens: u32,
    inputs: u32,
    outputs: u32,
    // 1: there is a bias. 2: the product is added to what is there. 4: rows begin at `progress.x`.
    flags: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> progress: vec4<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

fn store(token: u32, output: u32, sum: f32) {
    if (token >= params.tokens || output >= params.outputs) {
        return;
    }
    var value = sum;
    if ((params.flags & 1u) != 0u) {
        value += bias[output];
    }
    let first = select(0u, progress.x, (params.flags & 4u) != 0u);
    let at = (first + token) * params.outputs + output;
    if ((params.flags & 2u) != 0u) {
        value += out[at];
    }
    out[at] = value;
}
