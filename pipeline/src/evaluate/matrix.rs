//! Every model on every dataset.

use qponder_shared::api::Mode;
use serde::Serialize;

use super::{Estimate, ModelReport};

/// Models against datasets in one mode: how well what was learned on one carries over to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    pub mode: Mode,
    pub datasets: Vec<String>,
    pub rows: Vec<MatrixRow>,
}

/// One model on every dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixRow {
    pub model: String,
    /// In the order of the datasets; `None` where the model was not asked about one.
    pub cells: Vec<Option<Cell>>,
}

/// One model on one dataset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub images: usize,
    pub parse_failures: usize,
    pub srcc: Option<Estimate>,
    /// Raw.
    pub plcc: Option<Estimate>,
}

impl Matrix {
    /// The matrix of each mode that was measured; none of a single model on a single dataset.
    pub(super) fn of(models: &[ModelReport]) -> Vec<Self> {
        let mut datasets: Vec<String> =
            models.iter().flat_map(|m| &m.modes).flat_map(|mode| mode.datasets.keys().cloned()).collect();
        datasets.sort_unstable();
        datasets.dedup();
        if models.len() * datasets.len() < 2 {
            return Vec::new();
        }
        let of_mode = |mode: Mode| {
            let reports = models.iter().filter_map(|model| {
                model.modes.iter().find(|report| report.mode == mode).map(|report| (model, report))
            });
            let rows: Vec<MatrixRow> = reports
                .map(|(model, report)| {
                    let cell = |name: &String| {
                        report.datasets.get(name).map(|found| Cell {
                            images: found.images,
                            parse_failures: found.parse_failures,
                            srcc: found.srcc,
                            plcc: found.plcc,
                        })
                    };
                    MatrixRow { model: model.name.clone(), cells: datasets.iter().map(cell).collect() }
                })
                .collect();
            (!rows.is_empty()).then(|| Self { mode, datasets: datasets.clone(), rows })
        };
        [Mode::Quick, Mode::Reason].into_iter().filter_map(of_mode).collect()
    }
}
