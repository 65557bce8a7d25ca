//! The average of models that were trained from the same beginning: a "model soup" (Wortsman et al. 2022,
//! arXiv:2203.05482), which is often better than each of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::{Destination, ExportError, check, read_config, write};
use crate::qwen2_5_vl::Weights;

/// Writes the mean of the models' weights, with the configuration and tokenizer of the first.
///
/// # Errors
/// When there are fewer than two, or one has other tensors than the first, or the destination is refused; nothing is
/// written then.
pub fn average(models: &[PathBuf], to: &Destination) -> Result<(), ExportError> {
    let [first, others @ ..] = models else { return Err(ExportError::TooFew) };
    if others.is_empty() {
        return Err(ExportError::TooFew);
    }
    for model in models {
        check(&to.dir, to.force, model)?;
    }
    let config = read_config(first)?;
    let mut sums = Weights::read(first, DType::F32, &Device::Cpu)?.tensors().clone();
    for model in others {
        let weights = Weights::read(model, DType::F32, &Device::Cpu)?;
        let different = |name: &str| ExportError::Different {
            name: name.to_owned(),
            first: first.clone(),
            other: model.clone(),
        };
        if let Some(name) = weights.tensors().keys().find(|name| !sums.contains_key(*name)) {
            return Err(different(name));
        }
        for (name, sum) in &mut sums {
            let tensor = weights.tensors().get(name).filter(|tensor| tensor.dims() == sum.dims());
            *sum = (&*sum + tensor.ok_or_else(|| different(name))?)?;
        }
    }
    let share = 1.0 / models.len() as f64;
    let mean = sums.into_iter().map(|(name, sum)| Ok((name, (sum * share)?)));
    let mean = mean.collect::<candle_core::Result<BTreeMap<String, Tensor>>>()?;
    write(&config, &Weights::new(mean), first, to)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::save::Layout;

    #[test]
    fn weights_are_averaged_and_other_models_are_refused() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let out = tempfile::tempdir().expect("a directory");
        let to = |name: &str| Destination {
            dir: out.path().join(name),
            layout: Layout { precision: crate::save::Precision::F32, ..Layout::default() },
            force: false,
        };
        let pair = [models.join("nano-ci"), models.join("nano-rl")];
        average(&pair, &to("mean")).expect("averaged");
        let read = |dir: &Path| Weights::read(dir, DType::F32, &Device::Cpu).expect("weights");
        let [a, b, mean] = [read(&pair[0]), read(&pair[1]), read(&out.path().join("mean"))];
        for (name, tensor) in mean.tensors() {
            let wanted = ((&a.tensors()[name] + &b.tensors()[name]).expect("a sum") * 0.5).expect("a mean");
            let error = (tensor - wanted).and_then(|off| off.abs()?.max_all()?.to_scalar::<f32>());
            assert!(error.expect("a number") < 1e-7, "{name}");
        }
        assert!(matches!(average(&pair[..1], &to("one")), Err(ExportError::TooFew)));
        let tiny =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/transformers/nested-f32-tied");
        let error = average(&[pair[0].clone(), tiny], &to("other")).expect_err("another model");
        assert!(matches!(error, ExportError::Different { .. } | ExportError::Load(_)), "{error}");
        assert!(!out.path().join("other").exists());
    }
}
