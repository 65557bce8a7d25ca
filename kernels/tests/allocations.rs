//! A token of an answer allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_kernels::engine::cpu::Cpu;
use qponder_kernels::engine::{Engine, Sampler, Task};
use qponder_kernels::pixels::RgbImage;

/// The system's allocator, which counts.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_token_allocates_nothing() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/nano-rl/q8_0");
    let [text, vision] =
        ["model-q8_0.gguf", "mmproj-q8_0.gguf"].map(|name| std::fs::read(models.join(name)).expect(name));
    let engine = Engine::read(&text, &vision).expect("nano");
    let image = RgbImage::new(112, 112, vec![90; 3 * 112 * 112]).expect("an image");
    let prompt = engine.instructions().prompt(Task::Reason, &image, engine.model()).expect("a prompt");
    let mut cpu = Cpu::new(engine.model().clone());
    cpu.prefill(&prompt, 200, Sampler::greedy());
    let last = prompt.positions.last().expect("tokens")[0];
    // The first token makes room for the longest row of weights.
    let mut counts = [0; 2];
    for (count, tokens) in counts.iter_mut().zip([1..2, 2..200]) {
        let before = COUNT.load(Ordering::Relaxed);
        tokens.for_each(|token| cpu.decode(cpu.next(), [last + token; 3]));
        *count = COUNT.load(Ordering::Relaxed) - before;
    }
    assert_eq!(counts[1], 0, "the first: {}", counts[0]);
}
