//! The average of models that were trained from the same beginning: a "model soup" (Wortsman et al. 2022,
//! arXiv:2203.05482), which is often better than each of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::{Destination, ExportError, Progress, Teller, check, read_config, write};
use crate::qwen2_5_vl::Weights;
use crate::save::read_heads;

/// What a training changed: the difference of two models, a "task vector" (Ilharco et al. 2023, arXiv:2212.04089).
#[derive(Clone, Debug)]
pub struct Change {
    /// The model before it.
    pub from: PathBuf,
    /// The model after it.
    pub to: PathBuf,
}

/// Writes the mean of the models' weights, with the configuration and tokenizer of the first; on it the `changes`.
/// Pooled heads are averaged over the models that have some, so that a training can go on from the mean: they are
/// linear, and the mean of heads answers with the mean of what they answer.
///
/// # Errors
/// When there is nothing to do, or one model has other tensors than the first, or the destination is refused; nothing
/// is written then.
pub fn average(
    models: &[PathBuf],
    changes: &[Change],
    to: &Destination,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), ExportError> {
    let [first, others @ ..] = models else { return Err(ExportError::TooFew) };
    if others.is_empty() && changes.is_empty() {
        return Err(ExportError::TooFew);
    }
    let changed = || changes.iter().flat_map(|change| [&change.from, &change.to]);
    for model in models.iter().chain(changed()) {
        check(&to.dir, to.force, model)?;
    }
    let config = read_config(first)?;
    let share = 1.0 / models.len() as f64;
    let mut teller = Teller::start(models.len() + 2 * changes.len() + 1, progress);
    let mut sums = Weights::read(first, DType::F32, &Device::Cpu)?.tensors().clone();
    teller.done(first);
    for sum in sums.values_mut() {
        *sum = (&*sum * share)?;
    }
    let mut terms: Vec<(&PathBuf, f64)> = others.iter().map(|model| (model, share)).collect();
    terms.extend(changes.iter().flat_map(|change| [(&change.to, 1.0), (&change.from, -1.0)]));
    for (model, factor) in terms {
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
            *sum = (&*sum + (tensor.ok_or_else(|| different(name))? * factor)?)?;
        }
        teller.done(model);
    }
    sums.extend(mean_heads(models)?);
    write(&config, &Weights::new(sums), first, to, &mut teller)
}

/// The mean of the models' pooled heads; empty when none has any.
fn mean_heads(models: &[PathBuf]) -> Result<BTreeMap<String, Tensor>, ExportError> {
    let mut all = Vec::new();
    for model in models {
        all.extend(read_heads(model)?.map(|heads| (model, heads)));
    }
    let Some(((first, sums), others)) = all.split_first() else { return Ok(BTreeMap::new()) };
    let mut mean = BTreeMap::new();
    for (name, sum) in sums {
        let mut sum = sum.clone();
        for (model, heads) in others {
            let head = heads.get(name).filter(|head| head.dims() == sum.dims());
            let (first, other) = ((*first).clone(), (*model).clone());
            sum = (sum + head.ok_or(ExportError::Different { name: name.clone(), first, other })?)?;
        }
        mean.insert(name.clone(), (sum / all.len() as f64)?);
    }
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::save::{Layout, Precision, write_tensors};

    #[test]
    fn weights_are_averaged_and_other_models_are_refused() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let out = tempfile::tempdir().expect("a directory");
        let to = |name: &str| Destination {
            dir: out.path().join(name),
            layout: Layout { precision: Precision::F32, ..Layout::default() },
            force: false,
        };
        let pair = [models.join("nano-ci"), models.join("nano-rl")];
        let mut told = Vec::new();
        average(&pair, &[], &to("mean"), &mut |event| told.push(event.clone())).expect("averaged");
        let advanced = |step, dir: &Path| Progress::Advanced { step, done: dir.to_owned() };
        let steps = [advanced(1, &pair[0]), advanced(2, &pair[1]), advanced(3, &out.path().join("mean"))];
        assert_eq!((&told[0], &told[1..]), (&Progress::Started { step: 0, steps: 3 }, &steps[..]));
        let read = |dir: &Path| Weights::read(dir, DType::F32, &Device::Cpu).expect("weights");
        let [a, b, mean] = [read(&pair[0]), read(&pair[1]), read(&out.path().join("mean"))];
        for (name, tensor) in mean.tensors() {
            let wanted = ((&a.tensors()[name] + &b.tensors()[name]).expect("a sum") * 0.5).expect("a mean");
            let error = (tensor - wanted).and_then(|off| off.abs()?.max_all()?.to_scalar::<f32>());
            assert!(error.expect("a number") < 1e-7, "{name}");
        }
        assert!(read_heads(&out.path().join("mean")).expect("readable").is_none());
        // What is added to the first model and what makes it the second are the same.
        let change = Change { from: pair[0].clone(), to: pair[1].clone() };
        average(&pair[..1], &[change], &to("changed"), &mut |_| {}).expect("changed");
        for (name, tensor) in read(&out.path().join("changed")).tensors() {
            let error =
                (tensor - &b.tensors()[name]).and_then(|off| off.abs()?.max_all()?.to_scalar::<f32>());
            assert!(error.expect("a number") < 1e-6, "{name}");
        }
        assert!(matches!(average(&pair[..1], &[], &to("one"), &mut |_| {}), Err(ExportError::TooFew)));
        let tiny =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/transformers/nested-f32-tied");
        let error =
            average(&[pair[0].clone(), tiny], &[], &to("other"), &mut |_| {}).expect_err("another model");
        assert!(matches!(error, ExportError::Different { .. } | ExportError::Load(_)), "{error}");
        assert!(!out.path().join("other").exists());
    }

    #[test]
    fn pooled_heads_are_averaged_over_the_models_that_have_some() {
        let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci");
        let out = tempfile::tempdir().expect("a directory");
        let model = |name: &str, heads: &[f32]| {
            let dir = out.path().join(name);
            std::fs::create_dir(&dir).expect("a directory");
            for file in
                std::fs::read_dir(&nano).expect("the model").map(|entry| entry.expect("a file").path())
            {
                std::fs::copy(&file, dir.join(file.file_name().expect("a name"))).expect("copied");
            }
            if !heads.is_empty() {
                let head = Tensor::new(heads, &Device::Cpu).expect("a head");
                let named = BTreeMap::from([("heads.score.weight".to_owned(), head)]);
                let path = dir.join("heads.safetensors");
                write_tensors(&path, &named.iter().collect(), Precision::F32).expect("written");
            }
            dir
        };
        let models = [model("a", &[1.0, 5.0]), model("none", &[]), model("b", &[3.0, -5.0])];
        let layout = Layout { precision: Precision::F32, ..Layout::default() };
        average(
            &models,
            &[],
            &Destination { dir: out.path().join("mean"), layout, force: false },
            &mut |_| {},
        )
        .expect("averaged");
        let heads = read_heads(&out.path().join("mean")).expect("readable").expect("some");
        assert_eq!(heads["heads.score.weight"].to_vec1::<f32>().expect("numbers"), [2.0, 0.0]);
        // Heads of the model that was in the directory before do not stay.
        let bare = [model("bare", &[]), model("other-bare", &[])];
        average(&bare, &[], &Destination { dir: out.path().join("mean"), layout, force: true }, &mut |_| {})
            .expect("averaged");
        assert!(read_heads(&out.path().join("mean")).expect("readable").is_none());
        let odd = model("odd", &[1.0]);
        let error = average(
            &[models[0].clone(), odd],
            &[],
            &Destination { dir: out.path().join("other"), layout, force: false },
            &mut |_| {},
        );
        assert!(matches!(error, Err(ExportError::Different { .. })), "{error:?}");
    }
}
