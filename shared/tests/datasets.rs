//! Label files of published datasets: fixtures in their layouts, and text that is none of them.

use std::path::Path;

use proptest::prelude::*;
use qponder_shared::dataset::{
    Direction, Evidence, Format, Labels, ParseError, Range, Scale, StdScale, UpsideDown, evidence,
};
use qponder_shared::manifest::Split;

fn fixture(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(format: Format, file: &str) -> Labels {
    format.parse(&fixture(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Labels on 1 to 5; the extremes of the file where no range is published.
fn on_five(labels: &Labels, direction: Direction) -> Vec<f64> {
    let range = labels.range.unwrap_or_else(|| {
        Range::of(labels.entries.iter().map(|entry| entry.label)).expect("two labels that differ")
    });
    let scale = Scale { range, direction };
    labels.entries.iter().map(|entry| scale.label(entry.label).expect("a label of the scale")).collect()
}

#[test]
fn every_layout_is_read() {
    use Direction::{Higher, Lower};
    let (published, asked) = (true, false);
    for (format, file, direction, says, images, references, scores) in [
        (
            Format::Koniq10k,
            "koniq-10k/koniq10k_distributions_sets.csv",
            Higher,
            published,
            4,
            4,
            [4.0, 3.323232],
        ),
        (
            Format::Koniq10k,
            "koniq-10k/koniq10k_scores_and_distributions.csv",
            Higher,
            published,
            4,
            4,
            [3.8, 3.2],
        ),
        (Format::Spaq, "spaq/MOS and Image attribute scores.csv", Higher, published, 3, 3, [3.0, 3.5]),
        (Format::Kadid10k, "kadid-10k/dmos.csv", Higher, published, 6, 2, [4.5, 2.7]),
        (Format::LiveW, "live-w/live-w.csv", Higher, published, 3, 3, [3.0, 2.0]),
        (Format::Csiq, "csiq/csiq_dmos.txt", Lower, published, 5, 2, [4.75, 3.0]),
        (Format::Agiqa3k, "agiqa-3k/data.csv", Higher, published, 3, 2, [1.6, 4.0]),
        (Format::Pipal, "pipal/Train_Label/A0901.txt", Higher, published, 3, 1, [5.0, 3.33]),
        (Format::Pyiqa, "pyiqa/meta_info_KADID10kDataset.csv", Higher, asked, 4, 2, [4.5, 1.0]),
        (Format::Pyiqa, "pyiqa/meta_info_CSIQDataset.csv", Lower, asked, 4, 2, [5.0, 2.454545]),
        (Format::Pyiqa, "pyiqa/meta_info_KonIQ10kDataset.csv", Higher, asked, 3, 3, [5.0, 1.0]),
        (Format::Deqa, "deqa/train_kadid.json", Higher, published, 2, 1, [4.6, 1.0]),
        (Format::QInsight, "q-insight/train_koniq.json", Higher, published, 3, 3, [4.5, 3.5]),
        (Format::QAlign, "q-align/csiq.json", Lower, asked, 2, 1, [5.0, 1.0]),
        (Format::QAlign, "q-align/test_spaq.json", Higher, asked, 3, 3, [4.0, 5.0]),
        (
            Format::VisualQualityText,
            "visualquality-r1/KADID-10K_mos.txt",
            Higher,
            published,
            3,
            2,
            [4.5, 1.0],
        ),
        (
            Format::VisualQualityText,
            "visualquality-r1/KONIQ-10K_mos.txt",
            Higher,
            published,
            2,
            2,
            [5.0, 1.0],
        ),
        (Format::VisualQualityText, "visualquality-r1/TID2013_mos.txt", Higher, published, 2, 1, [5.0, 1.0]),
        (
            Format::VisualQualityJsonl,
            "visualquality-r1/RL-KADID-10K_train_scoring.jsonl",
            Higher,
            published,
            2,
            1,
            [4.6, 1.1],
        ),
    ] {
        let labels = parse(format, file);
        assert_eq!(labels.entries.len(), images, "{file}");
        assert_eq!(labels.direction, (says == published).then_some(direction), "{file}");
        let mut found: Vec<_> = labels.entries.iter().map(|entry| &entry.reference).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), references, "{file}: {found:?}");
        let scored = on_five(&labels, direction);
        assert_eq!(scored[..2], scores, "{file}");
        assert!(evidence(&labels.entries, &scored, direction).is_ok(), "{file}");
    }
}

#[test]
fn deviations_are_read_with_their_scale() {
    for (format, file, expected, scale) in [
        (Format::Koniq10k, "koniq-10k/koniq10k_distributions_sets.csv", Some(0.51), StdScale::Acr),
        (Format::Pyiqa, "pyiqa/meta_info_KonIQ10kDataset.csv", Some(0.51), StdScale::Acr),
        (Format::Kadid10k, "kadid-10k/dmos.csv", Some(0.5), StdScale::Labels),
        (Format::Csiq, "csiq/csiq_dmos.txt", Some(0.05), StdScale::Labels),
        (Format::Deqa, "deqa/train_kadid.json", Some(0.55), StdScale::Labels),
        // 10 on a scale of which 60 became 3.
        (Format::QInsight, "q-insight/train_koniq.json", Some(0.5), StdScale::Labels),
        (Format::Spaq, "spaq/MOS and Image attribute scores.csv", None, StdScale::Labels),
    ] {
        let labels = parse(format, file);
        assert_eq!((labels.entries[0].std, labels.std_scale), (expected, scale), "{file}");
    }
}

#[test]
fn official_splits_and_distortions_are_read() {
    let koniq = parse(Format::Koniq10k, "koniq-10k/koniq10k_distributions_sets.csv");
    let splits: Vec<_> = koniq.entries.iter().filter_map(|entry| entry.split).collect();
    assert_eq!(splits, [Split::Train, Split::Train, Split::Val, Split::Test]);

    let named = |format, file| -> Vec<String> {
        let distortion = |found: qponder_shared::Distortion| format!("{} {}", found.kind, found.level.get());
        let labels: Labels = parse(format, file);
        labels.entries.iter().map(|entry| entry.distortion.map_or("none".into(), distortion)).collect()
    };
    assert_eq!(
        named(Format::Kadid10k, "kadid-10k/dmos.csv"),
        [
            "gaussian_blur 1",
            "gaussian_blur 3",
            "gaussian_blur 5",
            "contrast_change 1",
            "contrast_change 3",
            "jpeg 5"
        ]
    );
    assert_eq!(
        named(Format::Csiq, "csiq/csiq_dmos.txt"),
        ["white_noise 1", "white_noise 5", "jpeg2000 2", "jpeg2000 4", "none"]
    );
    let csiq = parse(Format::Csiq, "csiq/csiq_dmos.txt");
    assert_eq!(csiq.entries[2].image, "harbour.jpeg2000.2.png");
}

#[test]
fn a_label_read_upside_down_is_noticed() {
    for (format, file, true_direction, wrong) in [
        (Format::Kadid10k, "kadid-10k/dmos.csv", Direction::Higher, Direction::Lower),
        (Format::Csiq, "csiq/csiq_dmos.txt", Direction::Lower, Direction::Higher),
        (Format::Pyiqa, "pyiqa/meta_info_CSIQDataset.csv", Direction::Lower, Direction::Higher),
        (Format::QAlign, "q-align/csiq.json", Direction::Lower, Direction::Higher),
    ] {
        let labels = parse(format, file);
        let right = evidence(&labels.entries, &on_five(&labels, true_direction), true_direction);
        assert!(matches!(right, Ok(Evidence::Levels { falling: 1.., .. })), "{file}: {right:?}");
        let refused = evidence(&labels.entries, &on_five(&labels, wrong), wrong);
        assert!(matches!(refused, Err(UpsideDown::Levels { .. })), "{file}: {refused:?}");
    }
    let koniq = parse(Format::Koniq10k, "koniq-10k/koniq10k_distributions_sets.csv");
    let votes = evidence(&koniq.entries, &on_five(&koniq, Direction::Higher), Direction::Higher);
    assert!(matches!(votes, Ok(Evidence::Votes { srcc: 0.99.. })), "{votes:?}");
    assert!(evidence(&koniq.entries, &on_five(&koniq, Direction::Lower), Direction::Lower).is_err());
    let spaq = parse(Format::Spaq, "spaq/MOS and Image attribute scores.csv");
    let nothing = evidence(&spaq.entries, &on_five(&spaq, Direction::Lower), Direction::Lower);
    assert_eq!(nothing, Ok(Evidence::None));
}

#[test]
fn what_cannot_be_read_is_named() {
    for (format, text, words) in [
        (Format::Koniq10k, "image_name,MOS\na.jpg,50\n", "no column `c1`"),
        (
            Format::Koniq10k,
            "image_name,c1,c2,c3,c4,c5,MOS,set\na.jpg,0,0,0,1,0,50,holdout\n",
            "line 2: the split is `holdout`",
        ),
        (Format::Spaq, "Image name,MOS\na.jpg,fifty\n", "line 2: MOS is `fifty`"),
        (Format::Spaq, "Image name,MOS\na.jpg,NaN\n", "line 2: MOS is `NaN`"),
        (
            Format::Spaq,
            "Image name,MOS\na.jpg,1\nb.jpg,2\na.jpg,3\n",
            "line 4: image a.jpg was labelled at line 2",
        ),
        (
            Format::Kadid10k,
            "dist_img,ref_img,dmos,var\nI01_26_01.png,I01.png,3,0.5\n",
            "line 2: dist_img is `I01_26_01.png`",
        ),
        (
            Format::Kadid10k,
            "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,3,-1\n",
            "line 2: the standard deviation is `-1`",
        ),
        (
            Format::Csiq,
            "image,dst_idx,dst_type,dst_lev,dmos_std,dmos\n1600,1,fog,1,0.1,0.2\n",
            "line 2: dst_type is `fog`",
        ),
        (
            Format::Csiq,
            "image,dst_idx,dst_type,dst_lev,dmos_std,dmos\n1600,1,noise,6,0.1,0.2\n",
            "line 2: dst_lev is `6`",
        ),
        (Format::Agiqa3k, "name,prompt,mos_quality\na.jpg,,2\n", "line 2: the prompt is missing"),
        (Format::Pipal, "A0001_00_00.bmp 1500\n", "line 1: the line is `A0001_00_00.bmp 1500`"),
        (Format::Pipal, "\n", "no rows"),
        (Format::Deqa, "{}", "no JSON"),
        (Format::Deqa, r#"[{"image": "a.png", "gt_score": 3}]"#, "item 1: gt_score_norm is missing"),
        (Format::Deqa, r#"[{"image": "a.png", "gt_score_norm": 3, "std": 9}]"#, "item 1: `gt_score`"),
        (
            Format::QAlign,
            r#"[{"image": "a.png", "gt_score": 3}, {"gt_score": 3}]"#,
            "item 2: the text `image`",
        ),
        (Format::VisualQualityText, "a.png b.png 3 0.1 5\n", "line 1: the line is"),
        (
            Format::VisualQualityJsonl,
            "{\"image\": [\"a.png\"]}\n",
            "line 1: the second conversation's value is missing",
        ),
        (Format::VisualQualityJsonl, "{\n", "line 1: EOF"),
    ] {
        let error = format.parse(text).map_err(|error| error.to_string());
        let error = error.expect_err("it cannot be read");
        assert!(error.contains(words), "{format}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>(), lines in "(([a-zI0-9_.]{1,9}|[0-9.\"-]{1,4})[, \t\n;\"]){0,30}") {
        for format in Format::ALL {
            let _ = format.parse(&text);
            // The same after a header or an opening that gets the parser going.
            for file in [
                "koniq-10k/koniq10k_distributions_sets.csv",
                "kadid-10k/dmos.csv",
                "csiq/csiq_dmos.txt",
                "deqa/train_kadid.json",
                "visualquality-r1/RL-KADID-10K_train_scoring.jsonl",
            ] {
                let read: Result<Labels, ParseError> = format.parse(&(fixture(file) + &lines));
                prop_assert!(read.is_err() || read.is_ok_and(|labels| !labels.entries.is_empty()));
            }
        }
    }
}
