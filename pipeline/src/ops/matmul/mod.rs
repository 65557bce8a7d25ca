//! Matrix products on slices: our own AVX-512 kernels where the processor has them, else the `gemm`
//! crate.

#[cfg(target_arch = "x86_64")]
mod avx512;

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
    if k == 0 {
        if !accumulate {
            dst.chunks_mut(dst_stride).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    let split = worth_splitting(m * n * k / 64);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        let operands = avx512::Operands { a, b, alpha, accumulate };
        // SAFETY: the processor has AVX-512F, and the assertions above are what `product` asks for.
        unsafe { avx512::product(&operands, dst, dst_stride, split) };
        return;
    }
    let parallelism = if split { Parallelism::Rayon(0) } else { Parallelism::None };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, so that every sum is exact whatever its order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed * 13 + i * i % 5) % 9) as f32 - 4.0).collect()
    }

    fn naive(a: MatrixView<'_>, b: MatrixView<'_>, i: usize, j: usize) -> f32 {
        let at = |m: MatrixView<'_>, i: usize, j: usize| m.data[i * m.row_stride + j * m.column_stride];
        (0..a.columns).map(|p| at(a, i, p) * at(b, p, j)).sum()
    }

    #[test]
    fn equals_the_sums_of_products_for_every_layout() {
        // Around the tiles' sizes (8 rows, 32 columns, depth 192) and the path for up to 16 rows.
        let sizes = [
            (1, 1, 1),
            (3, 33, 17),
            (4, 16, 200),
            (14, 21, 50),
            (17, 40, 33),
            (8, 32, 192),
            (9, 47, 193),
            (21, 70, 400),
            (5, 3, 0),
        ];
        for (m, n, k) in sizes {
            for layout in 0..4 {
                let (a, b) = (numbers(m * (k + 3), 1), numbers(n.max(k) * (n.max(k) + 2), 2));
                let a = if layout & 1 == 0 {
                    MatrixView::with_stride(&a, m, k, k + 3)
                } else {
                    MatrixView::with_stride(&a, k, m, m + usize::from(k < 2)).t()
                };
                let b = if layout & 2 == 0 {
                    MatrixView::with_stride(&b, k, n, n + 2)
                } else {
                    MatrixView::with_stride(&b, n, k, k + 2).t()
                };
                for accumulate in [false, true] {
                    let stride = n + 5;
                    let before = numbers(m * stride, 3);
                    let mut dst = before.clone();
                    matmul(&mut dst, stride, a, b, 0.5, accumulate);
                    for (index, (found, before)) in dst.iter().zip(&before).enumerate() {
                        let (i, j) = (index / stride, index % stride);
                        let kept = if j >= n || accumulate { *before } else { 0.0 };
                        let expected = if j < n { kept + 0.5 * naive(a, b, i, j) } else { kept };
                        assert_eq!(*found, expected, "({m}, {n}, {k}), layout {layout}, ({i}, {j})");
                    }
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        for (m, n, k) in [(300, 640, 64), (640, 96, 200), (2, 4096, 512), (16, 4096, 70)] {
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let (a, b) = (MatrixView::new(&a, m, k), MatrixView::new(&b, n, k).t());
            let (mut split, mut serial) = (vec![0.0; m * n], vec![0.0; m * n]);
            matmul(&mut split, n, a, b, 1.0, false);
            crate::ops::serially(|| matmul(&mut serial, n, a, b, 1.0, false));
            assert!(split == serial, "({m}, {n}, {k})");
        }
    }

    #[test]
    fn a_rows_numbers_do_not_depend_on_the_rows_with_it() {
        #[cfg(target_arch = "x86_64")]
        let is_own = std::arch::is_x86_feature_detected!("avx512f");
        #[cfg(not(target_arch = "x86_64"))]
        let is_own = false;
        // The `gemm` crate may choose another order for another shape.
        if !is_own {
            return;
        }
        // Thirds, whose sums are rounded.
        let thirds = |count, seed| numbers(count, seed).into_iter().map(|x| x / 3.0).collect::<Vec<f32>>();
        let (n, k) = (75, 430);
        let b = thirds(n * k, 2);
        for sizes in [1..17, 17..80] {
            let most = sizes.end - 1;
            let (a, before) = (thirds(most * k, 1), thirds(most * n, 3));
            for accumulate in [false, true] {
                let product = |m: usize| {
                    let mut dst = before[..m * n].to_vec();
                    let b = MatrixView::new(&b, n, k).t();
                    matmul(&mut dst, n, MatrixView::new(&a, m, k), b, 0.7, accumulate);
                    dst
                };
                let whole = product(most);
                for m in sizes.clone() {
                    assert!(product(m) == whole[..m * n], "{m} of {most} rows");
                }
            }
        }
    }
}
