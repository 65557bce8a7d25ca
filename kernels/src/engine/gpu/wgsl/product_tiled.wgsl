// Many tokens: a workgroup makes a tile of 32 tokens by 32 outputs, each of its 64 threads 4 by 4 of it.
const TILE = 32u;
// Groups of four inputs that are in the workgroup's memory at a time.
const DEPTH = 4u;

var<workgroup> xs: array<FourOfX, 128>;
var<workgroup> ws: array<FourOfWeights, 128>;

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_output = group.x * TILE;
    let first_token = group.y * TILE;
    let depth = params.inputs / 4u;
    var sums0 = vec4<f32>();
    var sums1 = vec4<f32>();
    var sums2 = vec4<f32>();
    var sums3 = vec4<f32>();
    for (var begin = 0u; begin < depth; begin += DEPTH) {
        for (var slot = index; slot < TILE * DEPTH; slot += 64u) {
            let row = slot / DEPTH;
            let at = begin + slot % DEPTH;
            var a = vec4<f32>();
            var b = vec4<f32>();
            if (at < depth) {
                if (first_token + row < params.tokens) {
                    a = x[(first_token + row) * depth + at];
                }
                if (first_output + row < params.outputs) {
                    b = weight(first_output + row, at);
                }
            }
            xs[slot] = four_of_x(a);
            ws[slot] = FourOfWeights(b);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let b0 = ws[(local.x * 4u) * DEPTH + d];
            let b1 = ws[(local.x * 4u + 1u) * DEPTH + d];
            let b2 = ws[(local.x * 4u + 2u) * DEPTH + d];
            let b3 = ws[(local.x * 4u + 3u) * DEPTH + d];
            let a0 = xs[(local.y * 4u) * DEPTH + d];
            let a1 = xs[(local.y * 4u + 1u) * DEPTH + d];
            let a2 = xs[(local.y * 4u + 2u) * DEPTH + d];
            let a3 = xs[(local.y * 4u + 3u) * DEPTH + d];
            sums0 += products(a0, b0, b1, b2, b3);
            sums1 += products(a1, b0, b1, b2, b3);
            sums2 += products(a2, b0, b1, b2, b3);
            sums3 += products(a3, b0, b1, b2, b3);
        }
        workgroupBarrier();
    }
    let token = first_token + local.y * 4u;
    let output = first_output + local.x * 4u;
    for (var i = 0u; i < 4u; i++) {
        store(token, output + i, sums0[i]);
        store(token + 1u, output + i, sums1[i]);
        store(token + 2u, output + i, sums2[i]);
        store(token + 3u, output + i, sums3[i]);
    }
}
