//! Rows of a tensor by index.

use candle_core::{Result, Tensor};

use super::given;

/// Stands for a row of zeros.
pub const ZEROS: u32 = u32::MAX;

/// A row that more places than this take gets its gradient from a product.
const FEW: usize = 4;
/// Elements of the matrix of that product at most.
const LARGEST: usize = 1 << 28;

/// The rows of `x` along its first dimension that `rows` names, each as often as it is named.
///
/// candle's gradient adds one place after the other, which leaves a GPU idle. Here each row gathers what its
/// places hold.
pub fn rows(x: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let count = x.dim(0)?;
    if let Some(outside) = rows.iter().find(|row| **row != ZEROS && **row as usize >= count) {
        candle_core::bail!("row {outside} of a tensor {:?}", x.shape());
    }
    let ids = Tensor::from_slice(rows, rows.len(), x.device())?;
    let x = x.contiguous()?;
    if !x.track_op() || x.device().is_cpu() && !rows.contains(&ZEROS) {
        return x.index_select(&ids, 0);
    }
    let taken = x.detach().index_select(&ids, 0)?;
    let places = places(rows, count);
    given(&x, taken, move |grad| match &places {
        Some(places) => {
            let mut sum: Option<Tensor> = None;
            for places in places {
                let part = grad.index_select(&Tensor::from_slice(places, count, grad.device())?, 0)?;
                sum = Some(sum.map_or_else(|| Ok(part.clone()), |sum| sum + &part)?);
            }
            let mut shape = grad.dims().to_vec();
            shape[0] = count;
            sum.map_or_else(|| Tensor::zeros(shape, grad.dtype(), grad.device()), Ok)
        }
        None => summed(grad, &ids, count),
    })
}

/// For each row the places that take it, as lists of a first place, a second one and so on. `None` where
/// that would be many.
fn places(rows: &[u32], count: usize) -> Option<Vec<Vec<u32>>> {
    let mut lists: Vec<Vec<u32>> = Vec::new();
    let mut taken = vec![0; count];
    for (place, &row) in rows.iter().enumerate().filter(|(_, row)| **row != ZEROS) {
        let times = &mut taken[row as usize];
        if *times == lists.len() {
            lists.push(vec![ZEROS; count]);
        }
        lists[*times][row as usize] = place as u32;
        *times += 1;
        if lists.len() > FEW {
            return None;
        }
    }
    Some(lists)
}

/// The sum of the gradients of each row's places, as a product with a matrix of ones and zeros.
fn summed(grad: &Tensor, ids: &Tensor, count: usize) -> Result<Tensor> {
    let mut shape = grad.dims().to_vec();
    let places = std::mem::replace(&mut shape[0], count);
    if places * count > LARGEST {
        return Tensor::zeros(shape, grad.dtype(), grad.device())?.index_add(ids, grad, 0);
    }
    let row = Tensor::arange(0, count as u32, grad.device())?.unsqueeze(1)?;
    let takes = row.broadcast_eq(&ids.unsqueeze(0)?)?.to_dtype(grad.dtype())?;
    let width = grad.elem_count() / places.max(1);
    takes.matmul(&grad.reshape((places, width))?)?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::{ZEROS, rows};

    /// Rows with few and with many places, and the gradients of their sums weighted by place.
    #[test]
    fn gradients_are_gathered() -> Result<()> {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let x = Var::from_tensor(&Tensor::from_vec(values, (4, 3), &Device::Cpu)?)?;
        for taken in [vec![2, ZEROS, 0, 2], vec![1, 1, ZEROS, 1, 1, 1, 3, 1]] {
            let found = rows(&x, &taken)?;
            let weights: Vec<f32> = (1..=taken.len()).map(|place| place as f32).collect();
            let weights = Tensor::from_vec(weights, (taken.len(), 1), &Device::Cpu)?;
            let gradient = found.broadcast_mul(&weights)?.sum_all()?.backward()?;
            let gradient: Vec<Vec<f32>> = gradient.get(&x).expect("a gradient").to_vec2()?;
            for (row, gradient) in gradient.iter().enumerate() {
                let places = taken.iter().enumerate().filter(|(_, taken)| **taken == row as u32);
                let expected: f32 = places.map(|(place, _)| place as f32 + 1.0).sum();
                assert_eq!(gradient, &[expected; 3], "{taken:?}, row {row}");
            }
            for (row, found) in taken.iter().zip(found.to_vec2::<f32>()?) {
                let expected = |column: u32| if *row == ZEROS { 0.0 } else { (row * 3 + column) as f32 };
                assert_eq!(found, [expected(0), expected(1), expected(2)]);
            }
        }
        Ok(())
    }
}
