//! The MATLAB files of LIVE in the Wild. Reads numbers, texts and cells of files of version 5 to 7, little-endian
//! (MathWorks, *MAT-File Format*, chapter 1); version 7.3 is HDF5 and not read.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// First bytes of a file of version 5 to 7.
const SIGNATURE: &[u8] = b"MATLAB 5.0";
/// First bytes of a file of version 7.3.
const HDF5: &[u8] = b"\x89HDF";
const HEADER: usize = 128;
/// Most bytes of a variable once unpacked: far more than any list of labels has.
const MOST: u64 = 64 << 20;
/// Most cells within cells.
const DEPTH: usize = 3;

const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;

/// The class of an array of cells, and of characters.
const CELL_CLASS: u8 = 1;
const CHAR_CLASS: u8 = 4;

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Column by column, real parts.
    Numbers(Vec<f64>),
    Text(String),
    Cells(Vec<Value>),
}

/// Whether these bytes are a MATLAB file of any version.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) || bytes.starts_with(HDF5)
}

/// The variable of this name.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn variable(bytes: &[u8], wanted: &str) -> Result<Value, String> {
    if bytes.starts_with(HDF5) {
        return Err("it is of version 7.3: save it with `save -v7`".to_owned());
    }
    if bytes.get(126..HEADER) != Some(b"IM") {
        return Err("it is no little-endian MATLAB file".to_owned());
    }
    let mut rest = &bytes[HEADER..];
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, value) = match element(&mut rest)? {
            (COMPRESSED, packed) => {
                let mut unpacked = Vec::new();
                let mut reader = ZlibDecoder::new(packed).take(MOST);
                reader.read_to_end(&mut unpacked).map_err(|error| format!("it is damaged: {error}"))?;
                match element(&mut unpacked.as_slice())? {
                    (MATRIX, body) => matrix(body, DEPTH)?,
                    _ => continue,
                }
            }
            (MATRIX, body) => matrix(body, DEPTH)?,
            _ => continue,
        };
        if name == wanted {
            return Ok(value);
        }
        names.push(name);
    }
    Err(format!("it has no variable {wanted}, only {}", names.join(", ")))
}

/// Takes an element off the front: its type and its bytes.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let cut = || "it ends too early".to_owned();
    let (tag, after) = rest.split_at_checked(8).ok_or_else(cut)?;
    let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
    // Up to four bytes stand within the tag.
    let (kind, small) = (word(0) & 0xffff, word(0) >> 16);
    if small > 0 {
        *rest = after;
        return Ok((kind, tag.get(4..4 + small as usize).ok_or_else(cut)?));
    }
    let (kind, length) = (word(0), word(4) as usize);
    let data = after.get(..length).ok_or_else(cut)?;
    let padded = if kind == COMPRESSED { length } else { length.next_multiple_of(8) };
    *rest = after.get(padded..).unwrap_or_default();
    Ok((kind, data))
}

/// An array's name and what it holds.
fn matrix(mut body: &[u8], depth: usize) -> Result<(String, Value), String> {
    let (_, flags) = element(&mut body)?;
    let class = *flags.first().ok_or("an array has no class")?;
    let (_, _dimensions) = element(&mut body)?;
    let (_, name) = element(&mut body)?;
    let name = String::from_utf8_lossy(name).into_owned();
    if class == CELL_CLASS {
        let depth = depth.checked_sub(1).ok_or("cells lie too deep in cells")?;
        let mut cells = Vec::new();
        while !body.is_empty() {
            match element(&mut body)? {
                (MATRIX, cell) => cells.push(matrix(cell, depth)?.1),
                (kind, _) => return Err(format!("a cell of type {kind} is not read")),
            }
        }
        return Ok((name, Value::Cells(cells)));
    }
    let (kind, data) = element(&mut body)?;
    let value = match (class, kind) {
        (CHAR_CLASS, UTF8 | INT8 | UINT8) => Value::Text(String::from_utf8_lossy(data).into_owned()),
        (CHAR_CLASS, UINT16) => {
            let units: Vec<u16> =
                data.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
            Value::Text(String::from_utf16_lossy(&units))
        }
        _ => Value::Numbers(numbers(kind, data)?),
    };
    Ok((name, value))
}

fn numbers(kind: u32, data: &[u8]) -> Result<Vec<f64>, String> {
    fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
    }
    Ok(match kind {
        INT8 => each(data, |bytes| f64::from(i8::from_le_bytes(bytes))),
        UINT8 => each(data, |bytes| f64::from(u8::from_le_bytes(bytes))),
        INT16 => each(data, |bytes| f64::from(i16::from_le_bytes(bytes))),
        UINT16 => each(data, |bytes| f64::from(u16::from_le_bytes(bytes))),
        INT32 => each(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        UINT32 => each(data, |bytes| f64::from(u32::from_le_bytes(bytes))),
        SINGLE => each(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DOUBLE => each(data, f64::from_le_bytes),
        _ => return Err(format!("numbers of type {kind} are not read")),
    })
}
