//! Our side of `cargo xtask bench`: each subcommand takes the options of the peer's script in
//! `tests/bench`, does the same work, and prints one JSON line with the same keys.
//!
//! | subcommand | peer |
//! |---|---|
//! | `assess --model DIR --images DIR --prompt FILE --batch N --max-new-tokens N --limit N --threads N` | `transformers_assess.py --ignore-end` |
//! | `sft --model DIR --images DIR --samples FILE --batch N --steps N --threads N` | `torch_sft.py` |
//! | `rollout --model DIR --images DIR --system FILE --prompt FILE --group N --max-new-tokens N --limit N --threads N` | `transformers_rollout.py` |
//! | `grpo` with the same options and `--steps N` | `trl_grpo.py` |
//! | `degrade --images DIR --threads N` | `degrade_peer.py` |
//!
//! `samples --images DIR --out FILE` writes the samples for the peer of `sft`.

mod assess;
mod degrade;
mod grpo;
mod memory;
mod options;
mod rollout;
mod sft;

use anyhow::{Result, bail};

use options::Options;

fn main() -> Result<()> {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // As `qponder` does, so that what is measured is what people run.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    let mut words = std::env::args().skip(1);
    let subcommand = words.next().unwrap_or_default();
    let options = Options::parse(words)?;
    let line = match subcommand.as_str() {
        "assess" => assess::run(&options)?,
        "sft" => sft::run(&options)?,
        "samples" => sft::write_samples(&options)?,
        "rollout" => rollout::run(&options)?,
        "grpo" => grpo::run(&options)?,
        "degrade" => degrade::run(&options)?,
        other => bail!("there is no benchmark `{other}`: assess, sft, samples, rollout, grpo or degrade"),
    };
    println!("{line}");
    Ok(())
}
