//! Parts of the graph that are made again in the backward pass instead of being kept.
//!
//! A layer's graph holds every intermediate result until the backward pass has used it. With
//! [`recompute`] only the layer's input and output are kept; the backward pass runs the layer once more,
//! with a graph of its own, and drops that at once (Chen et al., 2016, "Training deep nets with sublinear
//! memory cost"). Gradients of the layer's parameters, which are no arguments of the operation, go into a
//! store of the thread, from where [`backward`] joins them with the others.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use super::given;

thread_local! {
    /// Gradients of parameters inside of recomputed parts, while [`backward`] runs.
    static INNER: RefCell<Option<GradStore>> = const { RefCell::new(None) };
}

/// `function(x)`, of which the graph keeps `x` and the result alone.
///
/// The function must give the same result each time. Differentiate with [`backward`] only.
pub fn recompute(
    x: &Tensor,
    function: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let input = x.detach();
    let result = function(&input)?;
    // Parameters inside may be in training even where nothing before them is.
    let x = if x.track_op() { x.clone() } else { Var::from_tensor(x)?.as_tensor().clone() };
    given(&x, result, move |grad| again(&input, &function, grad))
}

/// Runs the function once more, puts the gradients of its parameters into the store of the thread, and
/// gives that of its input.
fn again(input: &Tensor, function: impl Fn(&Tensor) -> Result<Tensor>, grad: &Tensor) -> Result<Tensor> {
    let x = Var::from_tensor(input)?;
    let result = function(x.as_tensor())?;
    let product = (result * &grad.detach())?.sum_all()?;
    let mut store = product.backward()?;
    let dx = store.remove(x.as_tensor()).map(|dx| dx.detach());
    // Of parameters alone, and without what they were computed from, which would keep the graph alive.
    let mut of_parameters = GradStore::default();
    for parameter in product.sorted_nodes().into_iter().filter(|node| node.is_variable()) {
        if let Some(gradient) = store.remove(parameter) {
            of_parameters.insert(parameter, gradient.detach());
        }
    }
    INNER.with_borrow_mut(|inner| match inner {
        Some(inner) => inner.extend(of_parameters),
        None => candle_core::bail!("recomputed parts are differentiated with ops::backward alone"),
    })?;
    dx.map_or_else(|| input.zeros_like(), Ok)
}

/// The gradients of everything that leads to `loss`, in recomputed parts too.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = INNER.replace(Some(GradStore::default()));
    let store = loss.backward();
    let inner = INNER.replace(outer);
    let mut store = store?;
    if let Some(inner) = inner {
        store.extend(inner)?;
    }
    Ok(store)
}
