//! `y = x·Wᵀ + b`.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{MatrixView, matmul, reference, slices};

/// `x` is `(tokens, inputs)`, `weight` `(outputs, inputs)` and `bias` `(outputs,)`; the result is
/// `(tokens, outputs)`.
///
/// What leads to no variable gets no gradient: frozen layers cost only what passes through them, and
/// the first layer nothing for its input.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !slices::is_cpu_f32(x) {
        return reference::linear(x, weight, bias);
    }
    let x = x.contiguous()?;
    match bias {
        Some(bias) => x.apply_op3(weight, bias, Linear),
        None => x.apply_op2(weight, Linear),
    }
}

struct Linear;

impl Linear {
    fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
        let tokens = x.len() / inputs;
        let mut y = vec![0.0; tokens * outputs];
        if let Some(bias) = bias {
            y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
        }
        let (x, weight) = (MatrixView::new(x, tokens, inputs), MatrixView::new(weight, outputs, inputs));
        matmul(&mut y, outputs, x, weight.t(), 1.0, bias.is_some());
        y
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (tokens, inputs) = x.dims2()?;
        let outputs = weight.dim(0)?;
        let device = x.device();
        slices::with([x, weight, grad], "linear", |[values, w, g]| {
            let g = MatrixView::new(g, tokens, outputs);
            let dx = if x.track_op() {
                let mut dx = vec![0.0; tokens * inputs];
                matmul(&mut dx, inputs, g, MatrixView::new(w, outputs, inputs), 1.0, false);
                Some(Tensor::from_vec(dx, (tokens, inputs), device)?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let mut dw = vec![0.0; outputs * inputs];
                matmul(&mut dw, inputs, g.t(), MatrixView::new(values, tokens, inputs), 1.0, false);
                Some(Tensor::from_vec(dw, (outputs, inputs), device)?)
            } else {
                None
            };
            let db = match bias {
                Some(bias) if bias.track_op() => {
                    let mut db = vec![0.0; outputs];
                    for row in g.data.chunks_exact(outputs) {
                        db.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
                    }
                    Some(Tensor::from_vec(db, outputs, device)?)
                }
                _ => None,
            };
            Ok((dx, dw, db))
        })
    }
}

fn dims(x: &Layout, weight: &Layout) -> Result<(usize, usize, usize)> {
    let (tokens, inputs) = x.shape().dims2()?;
    let (outputs, expected) = weight.shape().dims2()?;
    if inputs != expected {
        candle_core::bail!("linear of input {:?} and weight {:?}", x.shape(), weight.shape());
    }
    Ok((tokens, inputs, outputs))
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (tokens, inputs, outputs) = dims(lx, lw)?;
        let y =
            Self::forward(slices::of(x, lx, "linear")?, slices::of(w, lw, "linear")?, None, inputs, outputs);
        Ok((CpuStorage::F32(y), (tokens, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = Self::backward(x, w, None, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (tokens, inputs, outputs) = dims(lx, lw)?;
        let bias = slices::of(b, lb, "linear")?;
        if bias.len() != outputs {
            candle_core::bail!("linear of weight {:?} and bias {:?}", lw.shape(), lb.shape());
        }
        let x = slices::of(x, lx, "linear")?;
        let y = Self::forward(x, slices::of(w, lw, "linear")?, Some(bias), inputs, outputs);
        Ok((CpuStorage::F32(y), (tokens, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = Self::backward(x, w, Some(b), grad)?;
        Ok((dx, dw, db))
    }
}
