//! Small pictures, and files that only claim to be pictures.

use qponder_kernels::pixels::{RgbImage, encode_png};

/// A PNG of smooth colours; another `seed` is another picture.
#[must_use]
pub fn png(width: usize, height: usize, seed: u8) -> Vec<u8> {
    let pixel = |x: usize, y: usize| {
        let (x, y) = ((255 * x / width) as u8, (255 * y / height) as u8);
        [x.wrapping_add(seed), y ^ seed, x.wrapping_mul(3).wrapping_add(y)]
    };
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    let image = RgbImage::new(width, height, data).expect("the data has its size");
    encode_png(&image).expect("it can be encoded")
}

/// The start of a PNG that claims a size that nobody has the memory for.
#[must_use]
pub fn enormous_png() -> Vec<u8> {
    let mut bytes = png(1, 1, 0);
    bytes[16..20].copy_from_slice(&u32::MAX.to_be_bytes()[..]);
    bytes[16] = 0x7f;
    bytes[20..24].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The checksum of a PNG chunk (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}
