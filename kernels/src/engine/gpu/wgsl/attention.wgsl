// Attention of many queries, online softmax (Milakov and Gimelshein 2018; Dao et al. 2022). `q` is (queries, heads,
// width), `k` and `v` are (keys, kv_heads, width). Query i sees the keys from ranges[i].x to before ranges[i].y;
// neither end falls from one query to the next. A thread has a query, a workgroup 64 of them and one head.
struct Params {
    queries: u32,
    heads: u32,
    kv_heads: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const QUERIES = 64u;
const KEYS = 8u;

var<workgroup> ks: array<vec4<f32>, KEYS * WIDTH>;
var<workgroup> vs: array<vec4<f32>, KEYS * WIDTH>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let head = group.y;
    let kv_head = head / (params.heads / params.kv_heads);
    let first_query = group.x * QUERIES;
    let last_query = min(first_query + QUERIES, params.queries) - 1u;
    let begin = ranges[first_query].x;
    let end = ranges[last_query].y;
    let query = min(first_query + index, last_query);
    let range = ranges[query];

    var own: array<vec4<f32>, WIDTH>;
    var sums: array<vec4<f32>, WIDTH>;
    for (var i = 0u; i < WIDTH; i++) {
        own[i] = q[(query * params.heads + head) * WIDTH + i] * params.scale;
        sums[i] = vec4<f32>();
    }
    var largest = -1e30;
    var total = 0.0;
    for (var tile = begin; tile < end; tile += KEYS) {
        for (var slot = index; slot < KEYS * WIDTH; slot += QUERIES) {
            let key = tile + slot / WIDTH;
            var a = vec4<f32>();
            var b = vec4<f32>();
            if (key < end) {
                let at = (key * params.kv_heads + kv_head) * WIDTH + slot % WIDTH;
                a = k[at];
                b = v[at];
            }
            ks[slot] = a;
            vs[slot] = b;
        }
        workgroupBarrier();
        var scores: array<f32, KEYS>;
        var highest = largest;
        for (var j = 0u; j < KEYS; j++) {
            var score = 0.0;
            for (var i = 0u; i < WIDTH; i++) {
                score += dot(own[i], ks[j * WIDTH + i]);
            }
            let is_seen = tile + j >= range.x && tile + j < range.y;
            scores[j] = select(-1e30, score, is_seen);
            highest = max(highest, scores[j]);
        }
        let keep = exp(largest - highest);
        largest = highest;
        total *= keep;
        for (var i = 0u; i < WIDTH; i++) {
            sums[i] *= keep;
        }
        for (var j = 0u; j < KEYS; j++) {
            // Before the first key that is seen, everything is as low as can be.
            let share = select(0.0, exp(scores[j] - largest), scores[j] > -1e29);
            total += share;
            for (var i = 0u; i < WIDTH; i++) {
                sums[i] += share * vs[j * WIDTH + i];
            }
        }
        workgroupBarrier();
    }
    if (first_query + index < params.queries) {
        for (var i = 0u; i < WIDTH; i++) {
            out[(query * params.heads + head) * WIDTH + i] = sums[i] / total;
        }
    }
}
