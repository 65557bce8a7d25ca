// One token: eight threads for each output share its sum.
var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let output = (group.y * groups.x + group.x) * 8u + index / 8u;
    let depth = params.inputs / 4u;
    var sum = 0.0;
    if (output < params.outputs) {
        for (var at = index % 8u; at < depth; at += 8u) {
            sum += dot(x[at], weight(output, at));
        }
    }
    parts[index] = sum;
    workgroupBarrier();
    if (index % 8u == 0u) {
        for (var i = 1u; i < 8u; i++) {
            sum += parts[index + i];
        }
        store(0u, output, sum);
    }
}
