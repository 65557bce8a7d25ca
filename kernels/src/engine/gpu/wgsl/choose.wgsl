// The next token: the largest sum of a logit and Gumbel noise, which is a draw from the softmax; without a
// temperature the largest logit. Of equal ones the first. `engine/sample.rs` is the same on the processor.
struct Params {
    vocabulary: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Tokens in the cache before and after this pass, the seed, the temperature's bits.
@group(0) @binding(1) var<uniform> progress: vec4<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

const THREADS = 256u;

var<workgroup> values: array<f32, THREADS>;
var<workgroup> tokens: array<u32, THREADS>;

// PCG3D, the first of its three words.
fn hash(seed: vec3<u32>) -> u32 {
    var v = seed * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3<u32>(16u);
    return v.x + v.y * v.z;
}

fn gumbel(bits: u32) -> f32 {
    let v = (f32(bits >> 9u) + 0.5) / 8388608.0;
    var exponential = v * (1.0 + v * (1.0 / 2.0 + v * (1.0 / 3.0 + v * (1.0 / 4.0 + v * (1.0 / 5.0 + v / 6.0)))));
    if (v >= 0.05) {
        exponential = -log(1.0 - v);
    }
    return -log(exponential);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) index: u32) {
    let temperature = bitcast<f32>(progress.w);
    var best = -3.4e38;
    var chosen = 0u;
    for (var token = index; token < params.vocabulary; token += THREADS) {
        var value = logits[token];
        if (temperature > 0.0) {
            value = value / temperature + gumbel(hash(vec3<u32>(progress.z, progress.y, token)));
        }
        if (value > best) {
            best = value;
            chosen = token;
        }
    }
    values[index] = best;
    tokens[index] = chosen;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (index < half) {
            let value = values[index + half];
            let token = tokens[index + half];
            if (value > values[index] || (value == values[index] && token < tokens[index])) {
                values[index] = value;
                tokens[index] = token;
            }
        }
    }
    if (index == 0u) {
        out[0] = tokens[0];
    }
}
