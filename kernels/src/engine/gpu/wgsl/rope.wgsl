// Rotary embedding in place: `x` is (tokens, heads, 2 * half), `turns` holds a cosine and a sine for each of
// (tokens, half).
struct Params {
    tokens: u32,
    heads: u32,
    half: u32,
    // 4: rows begin at `progress.x`.
    flags: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> progress: vec4<u32>;
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 64u + index;
    if (at >= params.tokens * params.heads * params.half) {
        return;
    }
    let i = at % params.half;
    let head = (at / params.half) % params.heads;
    let token = at / (params.half * params.heads);
    let row = token + select(0u, progress.x, (params.flags & 4u) != 0u);
    let place = (row * params.heads + head) * 2u * params.half + i;
    let turn = turns[token * params.half + i];
    let a = x[place];
    let b = x[place + params.half];
    x[place] = a * turn.x - b * turn.y;
    x[place + params.half] = b * turn.x + a * turn.y;
}
