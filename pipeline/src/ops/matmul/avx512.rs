//! Matrix products with AVX-512.
//!
//! The layout is that of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication",
//! 2008): columns of `b` are packed into panels that stay in the first-level cache while tiles of 8
//! rows pass by, whose sums stay in 16 registers. Rows of `a` are read where they lie unless it is
//! transposed. Products with few rows and a transposed `b`, which is what decoding does, are dot
//! products and need no packing.
//!
//! There are two orders of summing, one for up to [`FEW`] rows and one for more: a row's numbers do not
//! depend on the rows with it as long as it stays on one side, and never on the number of threads.

mod dots;

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_castpd_ps, _mm512_castps_pd, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};
use std::cell::RefCell;

use rayon::prelude::*;

use super::MatrixView;

const LANES: usize = 16;
/// Rows of a tile.
const ROWS: usize = 8;
/// Columns of a panel and of a tile.
const COLUMNS: usize = 2 * LANES;
/// Depth of a panel: 24 KiB of the first-level cache.
const DEPTH: usize = 192;
/// Rows of `a` that stay in the second-level cache while the panels pass by.
const BLOCK: usize = 512;
/// Products of up to this many rows with a transposed `b` are dot products. Beyond, packing pays.
const FEW: usize = 16;

/// `alpha * a·b`, added to what is there with `accumulate`.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    pub a: MatrixView<'a>,
    pub b: MatrixView<'a>,
    pub alpha: f32,
    pub accumulate: bool,
}

/// A destination that several threads write disjoint parts of.
#[derive(Clone, Copy)]
struct Destination {
    start: *mut f32,
    stride: usize,
}

// SAFETY: every thread writes other elements, and the slice outlives the threads' scope.
unsafe impl Send for Destination {}
// SAFETY: as above; it is never read through from another thread.
unsafe impl Sync for Destination {}

impl Destination {
    /// The element `(row, column)`.
    ///
    /// # Safety
    /// It must lie inside the slice.
    unsafe fn at(self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: promised by the caller.
        unsafe { self.start.add(row * self.stride + column) }
    }
}

/// Packed panels and rows, kept from one product to the next.
#[derive(Default)]
struct Scratch {
    panel: Vec<f32>,
    rows: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes the product, with `split` on all of rayon's threads.
///
/// # Safety
/// The processor must have AVX-512F, the shapes must fit each other, and every element of the three
/// matrices must lie inside its slice.
pub unsafe fn product(operands: &Operands<'_>, dst: &mut [f32], stride: usize, split: bool) {
    let (m, n) = (operands.a.rows, operands.b.columns);
    let dst = Destination { start: dst.as_mut_ptr(), stride };
    let threads = if split { rayon::current_num_threads() } else { 1 };
    if threads == 1 {
        // SAFETY: promised by the caller.
        unsafe { part(operands, dst, (0, m), (0, n)) };
    } else if n >= 2 * threads * COLUMNS || m < 4 * threads * ROWS {
        let columns = n.div_ceil(threads).next_multiple_of(COLUMNS);
        (0..n.div_ceil(columns)).into_par_iter().for_each(|i| {
            let columns = (i * columns, n.min((i + 1) * columns));
            // SAFETY: promised by the caller; no two parts share a column.
            unsafe { part(operands, dst, (0, m), columns) };
        });
    } else {
        let rows = m.div_ceil(threads).next_multiple_of(ROWS);
        (0..m.div_ceil(rows)).into_par_iter().for_each(|i| {
            // SAFETY: promised by the caller; no two parts share a row.
            unsafe { part(operands, dst, (i * rows, m.min((i + 1) * rows)), (0, n)) };
        });
    }
}

/// Computes the rows and columns in the given ranges.
#[target_feature(enable = "avx512f")]
unsafe fn part(
    operands: &Operands<'_>,
    dst: Destination,
    (top, bottom): (usize, usize),
    (left, right): (usize, usize),
) {
    let Operands { a, b, .. } = *operands;
    let depth = a.columns;
    // Of the whole product, so that the order of its sums does not depend on how it is split.
    if a.rows <= FEW && b.row_stride == 1 && a.column_stride == 1 {
        // SAFETY: promised by the caller.
        unsafe { dots::dots(operands, dst, (top, bottom), (left, right)) };
        return;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.panel.resize(DEPTH * COLUMNS, 0.0);
        for from in (0..depth).step_by(DEPTH) {
            let deep = DEPTH.min(depth - from);
            let accumulate = operands.accumulate || from > 0;
            for top in (top..bottom).step_by(BLOCK) {
                let bottom = bottom.min(top + BLOCK);
                // SAFETY: all offsets are of elements inside the matrices; see the caller's promise.
                unsafe {
                    let corner = a.data.as_ptr().add(top * a.row_stride + from * a.column_stride);
                    let is_packed = a.column_stride != 1;
                    if is_packed {
                        pack_rows(corner, a, bottom - top, deep, &mut scratch.rows);
                    }
                    for column in (left..right).step_by(COLUMNS) {
                        let wide = COLUMNS.min(right - column);
                        let source = b.data.as_ptr().add(from * b.row_stride + column * b.column_stride);
                        pack_panel(source, b, deep, wide, &mut scratch.panel);
                        for row in (top..bottom).step_by(ROWS) {
                            let tile = Tile {
                                depth: deep,
                                panel: scratch.panel.as_ptr(),
                                dst: dst.at(row, column),
                                dst_stride: dst.stride,
                                columns: wide,
                                alpha: operands.alpha,
                                accumulate,
                            };
                            let rows = ROWS.min(bottom - row);
                            if is_packed {
                                let packed = scratch.rows.as_ptr().add((row - top) * deep);
                                tile.run(rows, packed, 1, ROWS);
                            } else {
                                tile.run(rows, corner.add((row - top) * a.row_stride), a.row_stride, 1);
                            }
                        }
                    }
                }
            }
        }
    });
}

/// The first `count` lanes, at most all.
fn mask_of(count: usize) -> __mmask16 {
    if count >= LANES { !0 } else { (1 << count) - 1 }
}

/// What the tiles of one panel share.
struct Tile {
    depth: usize,
    /// `(depth, COLUMNS)`.
    panel: *const f32,
    dst: *mut f32,
    dst_stride: usize,
    /// Columns that exist, at most [`COLUMNS`].
    columns: usize,
    alpha: f32,
    accumulate: bool,
}

impl Tile {
    /// Runs the kernel for `rows` rows, 1 to [`ROWS`]; `a`'s element `(i, p)` lies at
    /// `i * row_stride + p * column_stride`.
    #[target_feature(enable = "avx512f")]
    unsafe fn run(&self, rows: usize, a: *const f32, row_stride: usize, column_stride: usize) {
        // SAFETY: the caller promises `rows` rows of `a` and of the destination.
        unsafe {
            match rows {
                1 => self.kernel::<1>(a, row_stride, column_stride),
                2 => self.kernel::<2>(a, row_stride, column_stride),
                3 => self.kernel::<3>(a, row_stride, column_stride),
                4 => self.kernel::<4>(a, row_stride, column_stride),
                5 => self.kernel::<5>(a, row_stride, column_stride),
                6 => self.kernel::<6>(a, row_stride, column_stride),
                7 => self.kernel::<7>(a, row_stride, column_stride),
                _ => self.kernel::<ROWS>(a, row_stride, column_stride),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn kernel<const M: usize>(&self, a: *const f32, row_stride: usize, column_stride: usize) {
        let rows: [*const f32; M] = std::array::from_fn(|i| a.wrapping_add(i * row_stride));
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        for p in 0..self.depth {
            // SAFETY: the panel has `depth` rows of `COLUMNS`, `a` has `M` rows of `depth`.
            unsafe {
                let b0 = _mm512_loadu_ps(self.panel.add(p * COLUMNS));
                let b1 = _mm512_loadu_ps(self.panel.add(p * COLUMNS + LANES));
                for i in 0..M {
                    let x = _mm512_set1_ps(*rows[i].add(p * column_stride));
                    sums[i][0] = _mm512_fmadd_ps(x, b0, sums[i][0]);
                    sums[i][1] = _mm512_fmadd_ps(x, b1, sums[i][1]);
                }
            }
        }
        let alpha = _mm512_set1_ps(self.alpha);
        let masks = [mask_of(self.columns), mask_of(self.columns.saturating_sub(LANES))];
        for (i, sums) in sums.into_iter().enumerate() {
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: the masks leave out the columns that do not exist.
                unsafe {
                    let to = self.dst.wrapping_add(i * self.dst_stride + half * LANES);
                    let sum = if self.accumulate {
                        _mm512_fmadd_ps(alpha, sum, _mm512_maskz_loadu_ps(masks[half], to))
                    } else {
                        _mm512_mul_ps(alpha, sum)
                    };
                    _mm512_mask_storeu_ps(to, masks[half], sum);
                }
            }
        }
    }
}

/// Copies a transposed `a` into tiles `(depth, ROWS)`; what the last tile lacks of rows stays as it was,
/// for no kernel reads it.
unsafe fn pack_rows(a: *const f32, view: MatrixView<'_>, rows: usize, depth: usize, packed: &mut Vec<f32>) {
    let needed = rows.next_multiple_of(ROWS) * depth;
    if packed.len() < needed {
        packed.resize(needed, 0.0);
    }
    for (tile, packed) in packed.chunks_exact_mut(ROWS * depth).take(rows.div_ceil(ROWS)).enumerate() {
        let first = tile * ROWS;
        let count = ROWS.min(rows - first);
        for (p, packed) in packed.chunks_exact_mut(ROWS).enumerate() {
            // SAFETY: rows `first` to `first + count` and column `p` are inside the matrix.
            unsafe {
                let source = a.add(first * view.row_stride + p * view.column_stride);
                if count == ROWS && view.row_stride == 1 {
                    std::ptr::copy_nonoverlapping(source, packed.as_mut_ptr(), ROWS);
                } else {
                    for (i, packed) in packed.iter_mut().enumerate().take(count) {
                        *packed = *source.add(i * view.row_stride);
                    }
                }
            }
        }
    }
}

/// Copies `wide` columns of `b` into a panel `(depth, COLUMNS)`; missing columns become zeros.
#[target_feature(enable = "avx512f")]
unsafe fn pack_panel(b: *const f32, view: MatrixView<'_>, depth: usize, wide: usize, panel: &mut [f32]) {
    // SAFETY: all offsets are of elements inside the matrix or the panel.
    unsafe {
        if view.column_stride == 1 {
            let masks = [mask_of(wide), mask_of(wide.saturating_sub(LANES))];
            for p in 0..depth {
                let (from, to) = (b.add(p * view.row_stride), panel.as_mut_ptr().add(p * COLUMNS));
                for (half, mask) in masks.into_iter().enumerate() {
                    let row = _mm512_maskz_loadu_ps(mask, from.wrapping_add(half * LANES));
                    _mm512_storeu_ps(to.add(half * LANES), row);
                }
            }
            return;
        }
        for half in 0..2 {
            let columns = wide.saturating_sub(half * LANES).min(LANES);
            for p in (0..depth).step_by(LANES) {
                let deep = LANES.min(depth - p);
                let to = panel.as_mut_ptr().add(p * COLUMNS + half * LANES);
                let from = b.wrapping_add(p * view.row_stride + half * LANES * view.column_stride);
                if view.row_stride == 1 {
                    let mask = mask_of(deep);
                    let lines = std::array::from_fn(|j| {
                        if j < columns {
                            _mm512_maskz_loadu_ps(mask, from.add(j * view.column_stride))
                        } else {
                            _mm512_setzero_ps()
                        }
                    });
                    for (i, line) in transpose(lines).into_iter().enumerate().take(deep) {
                        _mm512_storeu_ps(to.add(i * COLUMNS), line);
                    }
                } else {
                    for i in 0..deep {
                        for j in 0..LANES {
                            *to.add(i * COLUMNS + j) = if j < columns {
                                *from.add(i * view.row_stride + j * view.column_stride)
                            } else {
                                0.0
                            };
                        }
                    }
                }
            }
        }
    }
}

/// The transpose of 16 by 16 numbers.
#[target_feature(enable = "avx512f")]
fn transpose(x: [__m512; 16]) -> [__m512; 16] {
    // Within each 128-bit lane, 4 by 4 blocks of 4 rows are turned; then the blocks are.
    let mut turned = x;
    for group in 0..4 {
        let [a, b, c, d] = std::array::from_fn(|i| x[4 * group + i]);
        let pair = |x: __m512| _mm512_castps_pd(x);
        let (ab_low, ab_high) = (pair(_mm512_unpacklo_ps(a, b)), pair(_mm512_unpackhi_ps(a, b)));
        let (cd_low, cd_high) = (pair(_mm512_unpacklo_ps(c, d)), pair(_mm512_unpackhi_ps(c, d)));
        turned[4 * group] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
        turned[4 * group + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
        turned[4 * group + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
        turned[4 * group + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
    }
    let mut result = turned;
    for i in 0..4 {
        let [a, b, c, d] = std::array::from_fn(|group| turned[4 * group + i]);
        // Lanes 0 and 2, or 1 and 3, of two registers each.
        let (ab_even, ab_odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
        result[i] = _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even);
        result[4 + i] = _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd);
        result[8 + i] = _mm512_shuffle_f32x4::<0xDD>(ab_even, cd_even);
        result[12 + i] = _mm512_shuffle_f32x4::<0xDD>(ab_odd, cd_odd);
    }
    result
}
