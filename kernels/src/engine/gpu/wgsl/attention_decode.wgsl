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

var<workgroup> shares: array<f32, THREADS>;

@compute @workgroup_size(64)
fn main(place: Place) {
    let index = index_of(place);
    let head = place.group.x;
    let kv_head = head / (params.heads / params.kv_heads);
    let keys = progress.y;
    var largest = -1e30;
    var sum_of_shares = 0.0;
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
        let before = largest;
        largest = max(before, highest(place, score));
        let keep = exp(before - largest);
        let share = select(0.0, exp(score - largest), tile + index < keys);
        shares[index] = share;
        // After this everybody sees all shares.
        sum_of_shares = sum_of_shares * keep + total(place, share);
        sum *= keep;
        if (index < WIDTH) {
            for (var j = 0u; j < min(THREADS, keys - tile); j++) {
                sum += shares[j] * v[((tile + j) * params.kv_heads + kv_head) * WIDTH + index];
            }
        }
        workgroupBarrier();
    }
    if (index < WIDTH) {
        out[head * WIDTH + index] = sum / sum_of_shares;
    }
}
