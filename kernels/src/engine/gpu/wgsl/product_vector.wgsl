// One token: eight threads for each output share its sum.
@compute @workgroup_size(64)
fn main(place: Place) {
    let index = index_of(place);
    let output = (place.group.y * place.groups.x + place.group.x) * 8u + index / 8u;
    let depth = params.inputs / 4u;
    var sum = 0.0;
    if (output < params.outputs) {
        for (var at = index % 8u; at < depth; at += 8u) {
            sum += dot(x[at], weight(output, at));
        }
    }
    sum = total_of_eight(place, sum);
    if (index % 8u == 0u) {
        store(0u, output, sum);
    }
}
