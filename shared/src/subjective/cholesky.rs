//! Cholesky's decomposition of a symmetric matrix, as large as a study has items.

/// A lower triangle whose product with its transpose is the matrix.
pub(super) struct Cholesky(Vec<Vec<f64>>);

impl Cholesky {
    /// `None` where the matrix is not positive definite within rounding.
    pub(super) fn new(mut matrix: Vec<Vec<f64>>) -> Option<Self> {
        for row in 0..matrix.len() {
            let (above, rest) = matrix.split_at_mut(row);
            let current = &mut rest[0];
            for (column, other) in above.iter().enumerate() {
                let known: f64 = current[..column].iter().zip(other).map(|(a, b)| a * b).sum();
                current[column] = (current[column] - known) / other[column];
            }
            let known: f64 = current[..row].iter().map(|value| value * value).sum();
            let pivot = current[row] - known;
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            current[row] = pivot.sqrt();
        }
        Some(Self(matrix))
    }

    /// Solves lower · x = right from a row on, above which `right` is 0.
    fn forward(&self, right: &mut [f64], from: usize) {
        for row in from..right.len() {
            let known: f64 = self.0[row][from..row].iter().zip(&right[from..]).map(|(a, b)| a * b).sum();
            right[row] = (right[row] - known) / self.0[row][row];
        }
    }

    /// The solution of matrix · x = right.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = right.to_vec();
        self.forward(&mut x, 0);
        for row in (0..x.len()).rev() {
            let known: f64 = (row + 1..x.len()).map(|below| self.0[below][row] * x[below]).sum();
            x[row] = (x[row] - known) / self.0[row][row];
        }
        x
    }

    /// The diagonal of the matrix's inverse.
    pub(super) fn inverse_diagonal(&self) -> Vec<f64> {
        let items = self.0.len();
        let column = |at: usize| {
            let mut x = vec![0.0; items];
            x[at] = 1.0;
            self.forward(&mut x, at);
            x.iter().map(|value| value * value).sum()
        };
        (0..items).map(column).collect()
    }
}
