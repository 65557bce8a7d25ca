//! The operations that the model is made of, each with its gradient.
//!
//! candle's fused CPU operations (`rms_norm`, `rope`, `softmax_last_dim`, sdpa) have no gradient and
//! say nothing about it, and its differentiable ones make many passes over memory. So the model uses
//! the operations here: on the CPU a fused kernel with a hand-written gradient, on other devices a
//! composition of candle's differentiable operations ([`mod@reference`], and [`grouped_attention`]), or where
//! nothing is differentiated candle's fused ones.
//! Inference and training run the same code; `tests/ops.rs` compares each kernel and gradient with the composition and with finite
//! differences.
//!
//! Sequences are *packed*: a batch is one long row of tokens `(tokens, ...)`, and [`Segment`]s say
//! which tokens may see which. Nothing is ever padded.

mod activation;
mod attention;
mod cross_entropy;
mod dropout;
mod fused;
mod given;
mod grouped_attention;
mod linear;
mod math;
mod matmul;
mod recompute;
pub mod reference;
mod rms_norm;
mod rope;
mod rows;
pub(crate) mod slices;

use std::cell::Cell;

use rayon::prelude::*;

pub use activation::{gelu, swiglu};
pub use attention::{Segment, attention};
pub use cross_entropy::{entropy, negative_log_likelihood};
pub use dropout::dropout;
use given::given;
pub use grouped_attention::grouped_attention;
pub use linear::linear;
pub use matmul::{MatrixView, matmul};
pub use recompute::{backward, recompute};
pub use rms_norm::rms_norm;
pub use rope::{Rotation, rope};
pub use rows::rows;

thread_local! {
    static SERIAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with every operation on the calling thread alone.
///
/// Training gives each thread a part of the batch; splitting single operations further would only
/// cost.
pub fn serially<T>(work: impl FnOnce() -> T) -> T {
    let before = SERIAL.replace(true);
    let result = work();
    SERIAL.set(before);
    result
}

/// Fills `out` row by row, on all threads where that pays; `work` gets a row's index and place.
fn each_row(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    if rows == 0 {
        return;
    }
    let parts = if worth_splitting(out.len()) { rayon::current_num_threads() } else { 1 };
    let rows = rows.div_ceil(parts);
    let part = |(index, part): (usize, &mut [f32])| {
        part.chunks_exact_mut(width).enumerate().for_each(|(row, out)| work(index * rows + row, out));
    };
    if parts == 1 {
        part((0, out));
    } else {
        out.par_chunks_mut(rows * width).enumerate().for_each(part);
    }
}

/// Whether an operation on `elements` numbers should be split over threads.
pub(crate) fn worth_splitting(elements: usize) -> bool {
    const ENOUGH: usize = 1 << 16;
    elements >= ENOUGH && !SERIAL.get() && rayon::current_num_threads() > 1
}
