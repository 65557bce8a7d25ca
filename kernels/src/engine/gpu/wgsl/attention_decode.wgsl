// Attention of one query to all keys so far, online softmax. `q` is (heads, width), `k` and `v` are (keys, kv_heads,
// width), of which progress.y are there. A workgroup has a head; its 64 threads first have a key each, then a part of the
// width.
struct Params {
    queries: u32,
    heads: u32,
    kv_heads: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> progress: vec4<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const THREADS = 64u;

var<workgroup> scores: array<f32, THREADS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let head = group.x;
    let kv_head = head / (params.heads / params.kv_heads);
    let keys = progress.y;
    var largest = -1e30;
    var total = 0.0;
    var sum = vec4<f32>();
    for (var tile = 0u; tile < keys; tile += THREADS) {
        var score = -1e30;
        if (tile + index < keys) {
            score = 0.0;
            let at = ((tile + index) * params.kv_heads + kv_head) * WIDTH;
            for (var i = 0u; i < WIDTH; i++) {
                score += dot(q[head * WIDTH + i], k[at + i]);
            }
            score *= params.scale;
        }
        scores[index] = score;
        workgroupBarrier();
        var highest = largest;
        for (var j = 0u; j < THREADS; j++) {
            highest = max(highest, scores[j]);
        }
        let keep = exp(largest - highest);
        largest = highest;
        total *= keep;
        sum *= keep;
        let count = min(THREADS, keys - tile);
        for (var j = 0u; j < count; j++) {
            let share = exp(scores[j] - largest);
            total += share;
            if (index < WIDTH) {
                sum += share * v[((tile + j) * params.kv_heads + kv_head) * WIDTH + index];
            }
        }
        workgroupBarrier();
    }
    if (index < WIDTH) {
        out[head * WIDTH + index] = sum / total;
    }
}
