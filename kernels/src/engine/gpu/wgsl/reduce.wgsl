// Sums and maxima over the 64 threads of a workgroup, by way of its memory.
struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

var<workgroup> parts: array<f32, 64>;

// The place of a thread among the 64.
fn index_of(place: Place) -> u32 {
    return place.thread;
}

fn total(place: Place, value: f32) -> f32 {
    let index = place.thread;
    parts[index] = value;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (index < half) {
            parts[index] += parts[index + half];
        }
    }
    workgroupBarrier();
    let sum = parts[0];
    workgroupBarrier();
    return sum;
}

fn highest(place: Place, value: f32) -> f32 {
    parts[place.thread] = value;
    workgroupBarrier();
    var most = value;
    for (var i = 0u; i < 64u; i++) {
        most = max(most, parts[i]);
    }
    workgroupBarrier();
    return most;
}

// The sum over each eight threads in a row, for the first of them.
fn total_of_eight(place: Place, value: f32) -> f32 {
    let index = place.thread;
    parts[index] = value;
    workgroupBarrier();
    var sum = value;
    if (index % 8u == 0u) {
        for (var i = 1u; i < 8u; i++) {
            sum += parts[index + i];
        }
    }
    return sum;
}
