//! Matrix products on slices, over the `gemm` crate.

use gemm::Parallelism;

use super::worth_splitting;

/// A matrix in a slice: element `(i, j)` lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// A contiguous matrix, row by row.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// A matrix whose rows lie `row_stride` apart.
    #[must_use]
    pub fn with_stride(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transpose of the same numbers.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn reach(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1,
        }
    }
}

/// `dst = alpha * a·b`, or `dst += alpha * a·b` with `accumulate`; `dst` is `(a.rows, b.columns)`
/// with rows `dst_stride` apart.
///
/// # Panics
/// When the shapes do not fit each other or a slice is too short.
pub fn matmul(
    dst: &mut [f32],
    dst_stride: usize,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    alpha: f32,
    accumulate: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "matmul of ({m}, {k}) and ({}, {n})", b.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * dst_stride + n <= dst.len(), "matmul: destination too short");
    assert!(a.reach() <= a.data.len() && b.reach() <= b.data.len(), "matmul: operand too short");
    let parallelism = if worth_splitting(m * n * k / 64) { Parallelism::Rayon(0) } else { Parallelism::None };
    // SAFETY: the assertions above keep every index of the three matrices inside its slice, `dst` is
    // borrowed mutably and so overlaps neither operand, and strides fit `isize` as slices do.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
