//! Reading a file that is in memory; tensors stay where they are.

use std::collections::BTreeMap;

use super::{ALIGNMENT, GgufError, Kind, MAGIC, VERSION, Value};

/// Arrays within arrays are not nested deeper than this.
const MAX_DEPTH: usize = 4;

/// A tensor of at most this many dimensions is read.
const MAX_DIMENSIONS: usize = 8;

/// A file that was read.
#[derive(Debug)]
pub struct Gguf<'a> {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor<'a>>,
}

/// A tensor as it lies in the file.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Outermost dimension first: the reverse of the order in the file.
    pub shape: Vec<usize>,
    pub kind: Kind,
    pub bytes: &'a [u8],
}

impl Tensor<'_> {
    /// All values in order.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        self.kind.decode(self.bytes)
    }
}

impl<'a> Gguf<'a> {
    /// Reads a whole file. Every tensor is known to lie within it afterwards.
    ///
    /// # Errors
    /// When it is no GGUF file of version 3, is cut off, or holds a tensor of a kind not known here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor { bytes, at: 0 };
        if cursor.take(4, "its first four bytes").map_err(|_| GgufError::Magic)? != MAGIC {
            return Err(GgufError::Magic);
        }
        let version = cursor.u32("its version")?;
        if version != VERSION {
            return Err(GgufError::Version(version));
        }
        let tensor_count = cursor.u64("its head")?;
        let pair_count = cursor.u64("its head")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..pair_count {
            let key = cursor.text("the name of a metadata value")?;
            let code = cursor.u32(&key)?;
            let value = cursor.value(code, &key, 0)?;
            metadata.insert(key, value);
        }
        let alignment = match metadata.get("general.alignment").map(Value::number) {
            None => ALIGNMENT,
            Some(Some(number @ 1..=65_536)) if number.is_power_of_two() => number as usize,
            Some(_) => return Err(GgufError::Damaged("its alignment is no power of two".into())),
        };
        let mut places = Vec::new();
        for _ in 0..tensor_count {
            places.push(cursor.place()?);
        }
        let start = cursor.at.next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for Place { name, shape, kind, offset } in places {
            let bytes = kind
                .bytes(&shape)
                .and_then(|length| {
                    let first = start.checked_add(usize::try_from(offset).ok()?)?;
                    Some(first..first.checked_add(length)?)
                })
                .and_then(|range| bytes.get(range))
                .ok_or_else(|| GgufError::Truncated(format!("tensor {name}")))?;
            if tensors.insert(name.clone(), Tensor { shape, kind, bytes }).is_some() {
                return Err(GgufError::Damaged(format!("tensor {name} is there twice")));
            }
        }
        Ok(Self { metadata, tensors })
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A metadata value.
    ///
    /// # Errors
    /// When it is missing.
    pub fn value(&self, key: &str) -> Result<&Value, GgufError> {
        self.metadata.get(key).ok_or_else(|| GgufError::Missing(key.to_owned()))
    }

    fn wrong(key: &str, expected: &str) -> GgufError {
        GgufError::Wrong { key: key.to_owned(), expected: expected.to_owned() }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn number(&self, key: &str) -> Result<usize, GgufError> {
        let number = self.value(key)?.number().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| Self::wrong(key, "a whole number"))
    }

    /// A real number.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn real(&self, key: &str) -> Result<f32, GgufError> {
        match self.value(key)? {
            Value::F32(number) => Ok(*number),
            Value::F64(number) => Ok(*number as f32),
            _ => Err(Self::wrong(key, "a number")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn text(&self, key: &str) -> Result<&str, GgufError> {
        self.value(key)?.text().ok_or_else(|| Self::wrong(key, "a text"))
    }

    /// A list.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn array(&self, key: &str) -> Result<&[Value], GgufError> {
        match self.value(key)? {
            Value::Array(values) => Ok(values),
            _ => Err(Self::wrong(key, "a list")),
        }
    }

    /// A list of whole numbers that are not negative.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn numbers(&self, key: &str) -> Result<Vec<u32>, GgufError> {
        let number = |value: &Value| value.number().and_then(|number| u32::try_from(number).ok());
        let numbers: Option<_> = self.array(key)?.iter().map(number).collect();
        numbers.ok_or_else(|| Self::wrong(key, "a list of whole numbers"))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>, GgufError> {
        let texts: Option<_> = self.array(key)?.iter().map(Value::text).collect();
        texts.ok_or_else(|| Self::wrong(key, "a list of texts"))
    }

    /// A tensor of the given shape, outermost dimension first.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor<'a>, GgufError> {
        let tensor = self.tensors.get(name).ok_or_else(|| GgufError::Missing(format!("tensor {name}")))?;
        if tensor.shape != shape {
            let expected = format!("{shape:?}, but {:?}", tensor.shape);
            return Err(GgufError::Wrong { key: format!("the shape of tensor {name}"), expected });
        }
        Ok(tensor)
    }
}

struct Place {
    name: String,
    shape: Vec<usize>,
    kind: Kind,
    offset: u64,
}

/// Reads from the front; every length is checked against what is left.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], GgufError> {
        let end = self.at.checked_add(length);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| GgufError::Truncated(what.to_owned()))?;
        self.at += length;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn text(&mut self, what: &str) -> Result<String, GgufError> {
        let length = usize::try_from(self.u64(what)?).unwrap_or(usize::MAX);
        let bytes = self.take(length, what)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|_| GgufError::Damaged(format!("{what} is not UTF-8")))
    }

    fn value(&mut self, code: u32, key: &str, depth: usize) -> Result<Value, GgufError> {
        Ok(match code {
            0 => Value::U32(self.array::<1>(key)?[0].into()),
            1 => Value::I32(i8::from_le_bytes(self.array(key)?).into()),
            2 => Value::U32(u16::from_le_bytes(self.array(key)?).into()),
            3 => Value::I32(i16::from_le_bytes(self.array(key)?).into()),
            4 => Value::U32(self.u32(key)?),
            5 => Value::I32(i32::from_le_bytes(self.array(key)?)),
            6 => Value::F32(f32::from_le_bytes(self.array(key)?)),
            7 => Value::Bool(self.array::<1>(key)?[0] != 0),
            8 => Value::Text(self.text(key)?),
            9 if depth < MAX_DEPTH => {
                let code = self.u32(key)?;
                let length = self.u64(key)?;
                let mut values = Vec::new();
                for _ in 0..length {
                    values.push(self.value(code, key, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::U64(self.u64(key)?),
            11 => Value::I64(i64::from_le_bytes(self.array(key)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(key)?)),
            _ => return Err(GgufError::Damaged(format!("{key} has the unknown type {code}"))),
        })
    }

    fn place(&mut self) -> Result<Place, GgufError> {
        let name = self.text("the name of a tensor")?;
        let dimensions = self.u32(&name)? as usize;
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufError::Damaged(format!("tensor {name} has {dimensions} dimensions")));
        }
        let mut shape = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            let size = usize::try_from(self.u64(&name)?);
            shape.push(size.map_err(|_| GgufError::Damaged(format!("tensor {name} is too large")))?);
        }
        shape.reverse();
        let code = self.u32(&name)?;
        let kind = Kind::of(code).ok_or_else(|| GgufError::Kind { name: name.clone(), code })?;
        let offset = self.u64(&name)?;
        Ok(Place { name, shape, kind, offset })
    }
}
