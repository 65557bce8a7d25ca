//! What other devices run, on the CPU: narrow numbers go the same way there, so that it is tested without a GPU.

use qponder_pipeline::check_device::Size;
use qponder_pipeline::check_device::parity::{Row, parity};
use qponder_pipeline::device::Place;

#[test]
fn compositions_agree_with_the_kernels_within_rounding() {
    let rows = parity(Place::Cpu).expect("every operation exists");
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.is_right()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The CPU's f32 is what everything is compared with; its bf16 must differ.
    assert!(rows.iter().all(|row| row.dtype == "bf16" || row.difference == 0.0));
    assert!(rows.iter().filter(|row| row.dtype == "bf16").all(|row| row.difference > 0.0), "{rows:#?}");
}

#[test]
fn what_is_no_number_is_wrong() {
    let row = |difference| Row { what: "linear".into(), dtype: "f32", difference, allowed: 1e-3 };
    assert!(row(1e-4).is_right());
    assert!(!row(1e-2).is_right() && !row(f32::NAN).is_right());
}

#[test]
fn sizes_have_names() {
    for name in ["nano", "3b", "7b"] {
        let size: Size = name.parse().expect("a size");
        assert_eq!(size.to_string(), name);
        size.config().expect("a configuration");
    }
    assert!("70b".parse::<Size>().is_err());
}
