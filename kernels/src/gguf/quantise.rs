//! How numbers are stored: whole, or in blocks of 32 that share a scale.

use half::f16;

/// Numbers in a quantised block.
const BLOCK: usize = 32;

/// How a tensor is stored. The blocks are ggml's: a scale in f16, then 32 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    /// 4.5 bits a number: 0 to 15, less 8, times the scale. The first half of a block is in the low
    /// halves of its bytes.
    Q4_0,
    /// 8.5 bits a number: −127 to 127 times the scale.
    Q8_0,
}

impl Kind {
    /// The kind that ggml numbers so.
    #[must_use]
    pub fn of(code: u32) -> Option<Self> {
        [Self::F32, Self::F16, Self::Q4_0, Self::Q8_0].into_iter().find(|kind| kind.code() == code)
    }

    /// The number of `ggml_type`.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
        }
    }

    /// Numbers in a block: rows are a multiple of it.
    #[must_use]
    pub fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q4_0 | Self::Q8_0 => BLOCK,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q4_0 => 2 + BLOCK / 2,
            Self::Q8_0 => 2 + BLOCK,
        }
    }

    /// Bytes of a tensor; none where its rows are no whole blocks, or it is larger than memory.
    pub(super) fn bytes(self, shape: &[usize]) -> Option<usize> {
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))?;
        let is_whole = shape.last().copied().unwrap_or(1) % self.block() == 0;
        is_whole.then(|| (count / self.block()).checked_mul(self.block_bytes())).flatten()
    }

    /// Appends numbers, a whole number of blocks, as ggml's reference code quantises them.
    pub(super) fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F16 => bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            Self::Q8_0 => values.as_chunks::<BLOCK>().0.iter().for_each(|block| q8_0(block, bytes)),
            Self::Q4_0 => values.as_chunks::<BLOCK>().0.iter().for_each(|block| q4_0(block, bytes)),
        }
    }

    /// All numbers of whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect(),
            Self::F16 => {
                bytes.as_chunks::<2>().0.iter().map(|&value| f16::from_le_bytes(value).to_f32()).collect()
            }
            Self::Q8_0 => {
                let blocks = bytes.chunks_exact(self.block_bytes());
                let values = blocks.flat_map(|block| {
                    let scale = scale(block);
                    block[2..].iter().map(move |&q| f32::from(q as i8) * scale)
                });
                values.collect()
            }
            Self::Q4_0 => {
                let blocks = bytes.chunks_exact(self.block_bytes());
                let values = blocks.flat_map(|block| {
                    let scale = scale(block);
                    let low = block[2..].iter().map(|q| q & 15);
                    let high = block[2..].iter().map(|q| q >> 4);
                    low.chain(high).map(move |q| (f32::from(q) - 8.0) * scale)
                });
                values.collect()
            }
        }
    }
}

/// The scale at the front of a block.
fn scale(block: &[u8]) -> f32 {
    f16::from_le_bytes([block[0], block[1]]).to_f32()
}

/// The largest magnitude becomes 127.
fn q8_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    bytes.extend(f16::from_f32(scale).to_le_bytes());
    bytes.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
}

/// The number of largest magnitude becomes −8, whatever its sign.
fn q4_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    let extreme = block.iter().fold(0.0_f32, |a, &b| if b.abs() > a.abs() { b } else { a });
    let scale = extreme / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    bytes.extend(f16::from_f32(scale).to_le_bytes());
    let quantised = |value: f32| (value * inverse + 8.5).clamp(0.0, 15.0) as u8;
    let (low, high) = block.split_at(BLOCK / 2);
    bytes.extend(low.iter().zip(high).map(|(&low, &high)| quantised(low) | quantised(high) << 4));
}

/// The f16 nearest to a number, as bits.
#[must_use]
pub fn f32_to_f16(value: f32) -> u16 {
    f16::from_f32(value).to_bits()
}

/// The number of an f16's bits.
#[must_use]
pub fn f16_to_f32(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_within_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32 * 0.1 - 3.0).collect();
        for (kind, step) in [(Kind::F32, 0.0), (Kind::F16, 0.002), (Kind::Q8_0, 0.014), (Kind::Q4_0, 0.42)] {
            let mut bytes = Vec::new();
            kind.encode(&values, &mut bytes);
            assert_eq!(Some(bytes.len()), kind.bytes(&[2, 32]), "{kind:?}");
            for (value, back) in values.iter().zip(kind.decode(&bytes)) {
                assert!((value - back).abs() <= step, "{kind:?}: {value} {back}");
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        for kind in [Kind::Q8_0, Kind::Q4_0] {
            let mut bytes = Vec::new();
            kind.encode(&[0.0; 32], &mut bytes);
            assert_eq!(kind.decode(&bytes), [0.0; 32]);
        }
    }
}
