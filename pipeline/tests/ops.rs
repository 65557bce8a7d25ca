//! Each fused operation against its composition of candle operations: values and gradients. And the
//! gradients against finite differences, since a composition could be wrong in the same way.

use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use qponder_pipeline::ops::{self, Rotation, Segment, reference};

/// Numbers that look random, the same on every run, in −1 to 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn variable(dims: &[usize], seed: u64) -> Var {
    let tensor =
        Tensor::from_vec(numbers(dims.iter().product(), seed), dims, &Device::Cpu).expect("a tensor");
    Var::from_tensor(&tensor).expect("a variable")
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32 numbers")
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3_f32, |a, b| a.max(b.abs()));
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}[{index}]: {a}, expected {b}");
    }
}

/// Compares values, gradients, and gradients with central differences at a few places.
#[track_caller]
fn check(
    inputs: &[Var],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let tensors = || inputs.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
    let (ours, theirs) = (fused(&tensors()).expect("fused"), composed(&tensors()).expect("composed"));
    assert_eq!(ours.dims(), theirs.dims());
    assert_close(&flat(&ours), &flat(&theirs), 2e-5, "value");

    // A loss that weighs every output differently.
    let weights =
        Tensor::from_vec(numbers(ours.elem_count(), 99), ours.dims(), &Device::Cpu).expect("weights");
    let loss = |out: &Tensor| (out * &weights).and_then(|t| t.sum_all()).expect("a loss");
    let (ours, theirs) =
        (loss(&ours).backward().expect("backward"), loss(&theirs).backward().expect("backward"));
    for (index, input) in inputs.iter().enumerate() {
        let gradient = flat(ours.get(input.as_tensor()).expect("a gradient"));
        let expected = flat(theirs.get(input.as_tensor()).expect("a gradient"));
        assert_close(&gradient, &expected, 5e-5, &format!("gradient of input {index}"));

        let original = flat(input.as_tensor());
        for place in [0, original.len() / 2, original.len() - 1] {
            const STEP: f32 = 1e-2;
            let at = |value: f32| {
                let mut moved = original.clone();
                moved[place] = value;
                let moved = Tensor::from_vec(moved, input.dims(), &Device::Cpu).expect("a tensor");
                let mut all = tensors();
                all[index] = moved;
                f64::from(loss(&fused(&all).expect("fused")).to_scalar::<f32>().expect("a number"))
            };
            let slope = (at(original[place] + STEP) - at(original[place] - STEP)) / f64::from(2.0 * STEP);
            let error = (slope - f64::from(gradient[place])).abs();
            assert!(
                error < 2e-2 * slope.abs().max(0.1),
                "input {index}[{place}]: {} against {slope}",
                gradient[place]
            );
        }
    }
}

#[test]
fn linear() {
    for (tokens, inputs, outputs) in [(1, 3, 5), (7, 16, 9), (65, 40, 33)] {
        let frozen = variable(&[outputs, inputs], 2).as_tensor().detach();
        check(
            &[variable(&[tokens, inputs], 1)],
            |t| ops::linear(&t[0], &frozen, None),
            |t| reference::linear(&t[0], &frozen, None),
        );
        let variables =
            [variable(&[tokens, inputs], 1), variable(&[outputs, inputs], 2), variable(&[outputs], 3)];
        check(
            &variables,
            |t| ops::linear(&t[0], &t[1], Some(&t[2])),
            |t| reference::linear(&t[0], &t[1], Some(&t[2])),
        );
        check(
            &variables[..2],
            |t| ops::linear(&t[0], &t[1], None),
            |t| reference::linear(&t[0], &t[1], None),
        );
    }
}

#[test]
fn rms_norm() {
    for (tokens, width) in [(1, 4), (5, 13), (9, 64)] {
        let variables = [variable(&[tokens, width], 4), variable(&[width], 5)];
        check(&variables, |t| ops::rms_norm(&t[0], &t[1], 1e-6), |t| reference::rms_norm(&t[0], &t[1], 1e-6));
    }
}

#[test]
fn rope() {
    let (tokens, heads, head_dim) = (6, 3, 8);
    let angles: Vec<f32> = numbers(tokens * head_dim / 2, 6).iter().map(|x| x * 5.0).collect();
    let rotation = Rotation::new(&angles, head_dim / 2);
    let variables = [variable(&[tokens, heads, head_dim], 7)];
    check(&variables, |t| ops::rope(&t[0], &rotation), |t| reference::rope(&t[0], &rotation));
}

#[test]
fn swiglu_and_gelu() {
    let variables = [variable(&[5, 11], 8), variable(&[5, 11], 9)];
    check(&variables, |t| ops::swiglu(&t[0], &t[1]), |t| reference::swiglu(&t[0], &t[1]));
    check(&variables[..1], |t| ops::gelu(&(&t[0] * 3.0)?), |t| (&t[0] * 3.0)?.gelu_erf());
}

#[test]
fn negative_log_likelihood() {
    let variables = [variable(&[4, 17], 10)];
    let targets = [3, 0, 16, 7];
    check(
        &variables,
        |t| ops::negative_log_likelihood(&(&t[0] * 8.0)?, &targets),
        |t| reference::negative_log_likelihood(&(&t[0] * 8.0)?, &targets),
    );
}

#[test]
fn attention_of_every_kind() {
    let causal = |queries: std::ops::Range<usize>, keys: std::ops::Range<usize>| Segment {
        queries,
        keys,
        causal: true,
    };
    let packed = [
        ("full", 9, 9, Segment::consecutive([9], false)),
        ("windows", 10, 10, Segment::consecutive([4, 1, 5], false)),
        ("causal", 8, 8, Segment::consecutive([5, 3], true)),
        ("cached", 4, 16, Arc::from([causal(0..1, 0..6), causal(1..4, 8..15)])),
        ("many sizes", 55, 55, Segment::consecutive((1..=10).rev(), true)),
        ("many sizes of keys", 9, 54, {
            let keys = |at: usize| (0..at).map(|at| at + 2).sum::<usize>()..(0..=at).map(|at| at + 2).sum();
            (0..9).map(|at| causal(at..at + 1, keys(at))).collect()
        }),
        ("decoding", 3, 18, Arc::from([causal(0..1, 0..5), causal(1..2, 12..18), causal(2..3, 6..11)])),
    ];
    for (name, queries, keys, segments) in packed {
        for (heads, kv_heads) in [(4, 4), (4, 2), (6, 1)] {
            eprintln!("{name}, {heads} heads on {kv_heads}");
            let variables = [
                variable(&[queries, heads, 8], 11),
                variable(&[keys, kv_heads, 8], 12),
                variable(&[keys, kv_heads, 8], 13),
            ];
            check(
                &variables,
                |t| ops::attention(&t[0], &t[1], &t[2], &segments),
                |t| reference::attention(&t[0], &t[1], &t[2], &segments),
            );
            check(
                &variables,
                |t| ops::grouped_attention(&t[0], &t[1], &t[2], &segments),
                |t| reference::attention(&t[0], &t[1], &t[2], &segments),
            );
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_its_mask() {
    let (rate, seed) = (0.3, 7);
    check(
        &[variable(&[6, 11], 16)],
        |t| ops::dropout(&t[0], rate, seed),
        |t| reference::dropout(&t[0], rate, seed),
    );
    let ones = Tensor::ones((400, 300), DType::F32, &Device::Cpu).expect("a tensor");
    let run = |seed| flat(&ops::dropout(&ones, rate, seed).expect("dropout"));
    let dropped = run(seed);
    assert_eq!(dropped, ops::serially(|| run(seed)), "the mask depends on threads");
    assert!(dropped != run(seed + 1), "the mask does not depend on the seed");
    let mean = dropped.iter().sum::<f32>() / dropped.len() as f32;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    let zeros = dropped.iter().filter(|v| **v == 0.0).count() as f32 / dropped.len() as f32;
    assert!((zeros - rate).abs() < 0.01, "{zeros}");
}

#[test]
fn splitting_over_threads_changes_nothing() {
    let (tokens, width) = (700, 64);
    let x = Tensor::from_vec(numbers(tokens * width, 14), (tokens, 4, 16), &Device::Cpu).expect("a tensor");
    let segments = Segment::consecutive([500, 200], true);
    let run = || flat(&ops::attention(&x, &x, &x, &segments).expect("attention"));
    assert_eq!(run(), ops::serially(run));
}

#[test]
fn queries_in_no_segment_give_zeros() {
    let x = variable(&[6, 2, 8], 17).as_tensor().clone();
    let segments: Arc<[Segment]> = Arc::from([Segment { queries: 3..5, keys: 0..6, causal: false }]);
    let fused = flat(&ops::attention(&x, &x, &x, &segments).expect("attention"));
    let grouped = flat(&ops::grouped_attention(&x, &x, &x, &segments).expect("attention"));
    assert_close(&grouped, &fused, 1e-5, "value");
    assert!(fused[..48].iter().all(|value| *value == 0.0));
}

#[test]
fn narrow_numbers_meet_wide_parameters() {
    let bf16 = |variable: &Var| variable.as_tensor().to_dtype(DType::BF16).expect("bf16");
    let (x, weight, norm) = (variable(&[5, 16], 18), variable(&[8, 16], 19), variable(&[16], 20));
    let narrow = ops::rms_norm(&bf16(&x), norm.as_tensor(), 1e-6).expect("a norm");
    let narrow = ops::linear(&narrow, weight.as_tensor(), None).expect("a product");
    assert_eq!(narrow.dtype(), DType::BF16);
    let wide = ops::rms_norm(x.as_tensor(), norm.as_tensor(), 1e-6).expect("a norm");
    let wide = ops::linear(&wide, weight.as_tensor(), None).expect("a product");
    let narrow = narrow.to_dtype(DType::F32).expect("f32");
    assert_close(&flat(&narrow), &flat(&wide), 0.03, "value");
    let gradients =
        |out: &Tensor| out.sqr().and_then(|t| t.sum_all()).and_then(|t| t.backward()).expect("backward");
    let (found, expected) = (gradients(&narrow), gradients(&wide));
    for (name, parameter) in [("x", &x), ("weight", &weight), ("norm", &norm)] {
        let of = |store: &GradStore| store.get(parameter.as_tensor()).expect("a gradient").clone();
        assert_eq!(of(&found).dtype(), DType::F32, "{name}");
        assert_close(&flat(&of(&found)), &flat(&of(&expected)), 0.05, name);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let t = |dims: &[usize]| variable(dims, 15).as_tensor().clone();
    assert!(ops::linear(&t(&[2, 3]), &t(&[4, 5]), None).is_err());
    assert!(ops::linear(&t(&[2, 3]), &t(&[4, 3]), Some(&t(&[3]))).is_err());
    assert!(ops::rms_norm(&t(&[2, 3]), &t(&[4]), 1e-6).is_err());
    assert!(ops::negative_log_likelihood(&t(&[2, 3]), &[0, 3]).is_err());
    let long = Segment::consecutive([3], false);
    assert!(ops::attention(&t(&[2, 1, 4]), &t(&[2, 1, 4]), &t(&[2, 1, 4]), &long).is_err());
}
