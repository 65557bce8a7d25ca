//! GGUF, the model file of llama.cpp: typed metadata, then tensors, plain or quantised in blocks of 32.
//!
//! Version 3, little-endian, as `docs/gguf.md` of ggml specifies it.

mod quantise;
mod read;
mod value;
mod write;

pub use quantise::{Kind, f16_to_f32, f32_to_f16};
pub use read::{Gguf, Tensor};
pub use value::Value;
pub use write::Writer;

/// The first four bytes of every file.
const MAGIC: [u8; 4] = *b"GGUF";

/// The version that is read and written.
const VERSION: u32 = 3;

/// Tensors begin at multiples of this, unless the file says otherwise.
const ALIGNMENT: usize = 32;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    #[error("this is no GGUF file: it does not begin with the letters GGUF")]
    Magic,
    #[error("the GGUF version is {0}; only version 3 can be read: export the model again")]
    Version(u32),
    #[error("the GGUF file ends within {0}: it is cut off or damaged, so fetch or export it again")]
    Truncated(String),
    #[error("the GGUF file is damaged: {0}")]
    Damaged(String),
    #[error("tensor {name} is stored as ggml type {code}; f32, f16, q8_0 and q4_0 can be read")]
    Kind { name: String, code: u32 },
    #[error("the GGUF file has no {0}")]
    Missing(String),
    #[error("{key} in the GGUF file is not {expected}")]
    Wrong { key: String, expected: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.set("general.architecture", Value::Text("qwen2vl".into()));
        writer.set("qwen2vl.block_count", Value::U32(4));
        writer.set("words", Value::Array(vec![Value::Text("a".into()), Value::Text("é".into())]));
        writer.add("a", &[2, 32], Kind::Q8_0, &(0..64).map(|i| i as f32 - 30.0).collect::<Vec<_>>());
        writer.add("b", &[3], Kind::F32, &[1.0, 2.0, 3.0]);
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = example();
        let file = Gguf::parse(&bytes).expect("a valid file");
        assert_eq!(file.text("general.architecture"), Ok("qwen2vl"));
        assert_eq!(file.number("qwen2vl.block_count"), Ok(4));
        assert_eq!(file.array("words").map(<[Value]>::len), Ok(2));
        let a = file.tensor("a", &[2, 32]).expect("the tensor");
        for (index, value) in a.values().iter().enumerate() {
            assert!((value - (index as f32 - 30.0)).abs() < 0.15, "{index}: {value}");
        }
        assert_eq!(file.tensor("b", &[3]).expect("the tensor").values(), [1.0, 2.0, 3.0]);
        assert!(file.tensor("a", &[32, 2]).is_err_and(|e| e.to_string().contains("[32, 2]")));
        assert_eq!(file.number("absent"), Err(GgufError::Missing("absent".into())));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = example();
        for length in 0..bytes.len() {
            assert!(Gguf::parse(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut bytes = example();
        // A tensor's name, the number of its dimensions, these, its type; the array of words begins alike.
        let info = [1, 0, 0, 0, 0, 0, 0, 0, b'a', 2, 0, 0, 0];
        let at = bytes.windows(info.len()).rposition(|window| window == info).expect("the tensor");
        bytes[at + info.len() + 16] = 12;
        let error = Gguf::parse(&bytes).and_then(|file| file.tensor("a", &[2, 32]).map(|_| ()));
        assert_eq!(error, Err(GgufError::Kind { name: "a".into(), code: 12 }));
        let mut bytes = example();
        bytes[MAGIC.len()] = 2;
        assert_eq!(Gguf::parse(&bytes).map(|_| ()), Err(GgufError::Version(2)));
    }

    #[test]
    fn damage_never_panics() {
        let bytes = example();
        for index in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[index] ^= flip;
                if let Ok(file) = Gguf::parse(&bytes) {
                    let _ = file.tensor("a", &[2, 32]).map(|tensor| tensor.values());
                }
            }
        }
        assert_eq!(Gguf::parse(b"PK\x03\x04").map(|_| ()), Err(GgufError::Magic));
    }
}
