//! The kernels are valid, compute what the processor does, and fail as they should.

use std::sync::Arc;

use pollster::block_on;

use super::Gpu;
use super::check::{self, STORED, VARIANTS, prompt, tiny};
use super::kernels::Kernel;
use crate::engine::{EngineError, Random, Sampler};

/// What a comparison on this machine's card gives.
fn assert_equal(compared: impl Future<Output = Result<(), EngineError>>) {
    let what = "`apt install mesa-vulkan-drivers` brings a card in software";
    block_on(compared).unwrap_or_else(|error| panic!("{error}; {what}"));
}

#[test]
fn products_are_the_processors() {
    VARIANTS.into_iter().for_each(|wanted| assert_equal(check::products(wanted)));
}

#[test]
fn norms_rotations_and_activations_are_the_processors() {
    VARIANTS.into_iter().for_each(|wanted| assert_equal(check::small_kernels(wanted)));
}

#[test]
fn attention_is_the_processors() {
    VARIANTS.into_iter().for_each(|wanted| assert_equal(check::attention(wanted)));
}

#[test]
fn tokens_are_chosen_as_on_the_processor() {
    assert_equal(check::choosing());
}

#[test]
fn the_whole_model_is_the_processors() {
    VARIANTS.into_iter().for_each(|wanted| assert_equal(check::whole_model(wanted)));
}

/// Needs no card.
#[test]
fn every_kernel_is_valid() {
    use wgpu::naga;
    let products = STORED.into_iter().flat_map(|stored| [Kernel::Tiled(stored), Kernel::Vector(stored)]);
    let attentions = [8, 20, 32].into_iter().flat_map(|w| [Kernel::Attention(w), Kernel::AttentionDecode(w)]);
    let others = [Kernel::RmsNorm, Kernel::Rope, Kernel::Activation, Kernel::Scatter, Kernel::Choose];
    let kernels: Vec<Kernel> = products.chain(attentions).chain(others).collect();
    for (kernel, extras) in kernels.iter().flat_map(|kernel| VARIANTS.map(|extras| (kernel, extras))) {
        let source = kernel.source(extras);
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&source)));
        let flags = naga::valid::ValidationFlags::all();
        // `unpack2x16float`, which every card has.
        let mut capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(naga::valid::Capabilities::SHADER_FLOAT16, extras.f16);
        capabilities.set(naga::valid::Capabilities::SUBGROUP, extras.subgroups);
        let mut validator = naga::valid::Validator::new(flags, capabilities);
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        let valid = validator.validate(&module);
        valid.unwrap_or_else(|error| panic!("{kernel:?} {extras:?}: {}", error.emit_to_string(&source)));
    }
}

#[test]
fn a_full_cache_is_an_error() {
    let mut random = Random::new(8);
    let mut gpu = block_on(Gpu::new(Arc::new(tiny(&mut random)))).expect("a graphics card");
    block_on(gpu.prefill(&prompt(&mut random, [1, 4, 4]), 4, Sampler::greedy())).expect("room");
    let full = (0..600).find_map(|_| gpu.decode(1, [1; 3]).err());
    assert!(full.is_some_and(|error| error.to_string().contains("room for")), "it never was full");
}

#[test]
fn a_lost_device_is_an_error() {
    let mut random = Random::new(7);
    let mut gpu = block_on(Gpu::new(Arc::new(tiny(&mut random)))).expect("a graphics card");
    let prompt = prompt(&mut random, [1, 4, 4]);
    block_on(gpu.prefill(&prompt, 4, Sampler::greedy())).expect("room");
    gpu.destroy();
    for _ in 0..2 {
        let done = block_on(gpu.prefill(&prompt, 4, Sampler::greedy()));
        let error = done.and_then(|()| block_on(gpu.logits())).expect_err("nothing can be computed");
        assert!(matches!(error, EngineError::Gpu(_)), "{error}");
    }
    assert!(gpu.decode(1, [30; 3]).is_err() && block_on(gpu.next()).is_err() && gpu.is_lost());
}
