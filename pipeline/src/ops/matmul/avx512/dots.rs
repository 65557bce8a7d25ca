//! Few rows by transposed columns, which is what decoding does: dot products of 4 rows by 4 columns at a time, so that
//! each number that is loaded is used four times, and nothing is packed.
//!
//! A row's numbers are the same with any other rows: each sum has 16 parts, one a lane, added up at the end.

use std::arch::x86_64::{
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps,
};

use super::{Destination, LANES, Operands, mask_of};

/// Columns that pass by all rows before the next ones do: they stay in the first-level cache.
const COLUMNS: usize = 16;

/// Computes rows `top` to `bottom` of the given columns.
///
/// # Safety
/// As for [`super::product`]; the rows of `a` and the columns of `b` must be contiguous.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dots(
    operands: &Operands<'_>,
    dst: Destination,
    (top, bottom): (usize, usize),
    (left, right): (usize, usize),
) {
    let step = if bottom - top <= 4 { right - left } else { COLUMNS };
    for column in (left..right).step_by(step.max(1)) {
        let columns = (column, right.min(column + step));
        for row in (top..bottom).step_by(4) {
            // SAFETY: promised by the caller.
            unsafe {
                match bottom - row {
                    1 => of_rows::<1>(operands, dst, row, columns),
                    2 => of_rows::<2>(operands, dst, row, columns),
                    3 => of_rows::<3>(operands, dst, row, columns),
                    _ => of_rows::<4>(operands, dst, row, columns),
                }
            }
        }
    }
}

/// `M` rows from `row` on, by 4 columns at a time.
#[target_feature(enable = "avx512f")]
unsafe fn of_rows<const M: usize>(
    operands: &Operands<'_>,
    dst: Destination,
    row: usize,
    (left, right): (usize, usize),
) {
    let Operands { a, b, alpha, accumulate } = *operands;
    let x: [*const f32; M] = std::array::from_fn(|i| a.data.as_ptr().wrapping_add((row + i) * a.row_stride));
    for column in (left..right).step_by(4) {
        let wide = 4.min(right - column);
        // The last group may repeat a column instead of reading past the end.
        let y: [*const f32; 4] = std::array::from_fn(|i| {
            b.data.as_ptr().wrapping_add((column + i.min(wide - 1)) * b.column_stride)
        });
        let mut sums = [[_mm512_setzero_ps(); 4]; M];
        // SAFETY: rows and columns are inside the matrices by the caller's promise.
        unsafe {
            let whole = a.columns / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                let y = y.map(|y| _mm512_loadu_ps(y.add(at)));
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = _mm512_loadu_ps(x.add(at));
                    for (sum, y) in sums.iter_mut().zip(y) {
                        *sum = _mm512_fmadd_ps(x, y, *sum);
                    }
                }
            }
            if whole < a.columns {
                let mask = mask_of(a.columns - whole);
                let y = y.map(|y| _mm512_maskz_loadu_ps(mask, y.add(whole)));
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = _mm512_maskz_loadu_ps(mask, x.add(whole));
                    for (sum, y) in sums.iter_mut().zip(y) {
                        *sum = _mm512_fmadd_ps(x, y, *sum);
                    }
                }
            }
            for (i, sums) in sums.into_iter().enumerate() {
                for (j, sum) in sums.into_iter().enumerate().take(wide) {
                    let to = dst.at(row + i, column + j);
                    let before = if accumulate { *to } else { 0.0 };
                    *to = alpha.mul_add(_mm512_reduce_add_ps(sum), before);
                }
            }
        }
    }
}
