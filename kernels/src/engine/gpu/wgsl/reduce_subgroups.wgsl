// Sums and maxima over the 64 threads of a workgroup, on cards whose subgroups have at least eight threads.
struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

var<workgroup> parts: array<f32, 64>;

// The place of a thread among the 64: those of a subgroup are in a row, which `local_invocation_index` does not
// promise.
fn index_of(place: Place) -> u32 {
    return place.subgroup * place.lanes + place.lane;
}

fn total(place: Place, value: f32) -> f32 {
    var sum = subgroupAdd(value);
    if (place.lane == 0u) {
        parts[place.subgroup] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < place.subgroups; i++) {
        sum += parts[i];
    }
    workgroupBarrier();
    return sum;
}

fn highest(place: Place, value: f32) -> f32 {
    var most = subgroupMax(value);
    if (place.lane == 0u) {
        parts[place.subgroup] = most;
    }
    workgroupBarrier();
    for (var i = 0u; i < place.subgroups; i++) {
        most = max(most, parts[i]);
    }
    workgroupBarrier();
    return most;
}

// The sum over each eight threads in a row.
fn total_of_eight(place: Place, value: f32) -> f32 {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}
