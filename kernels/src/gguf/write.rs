//! Writing a file into memory.

use super::{ALIGNMENT, Kind, MAGIC, VERSION, Value};

/// Collects metadata and tensors; [`Writer::finish`] gives the file.
#[derive(Debug, Default)]
pub struct Writer {
    metadata: Vec<(String, Value)>,
    /// Name, shape, kind, offset.
    tensors: Vec<(String, Vec<usize>, Kind, usize)>,
    data: Vec<u8>,
}

impl Writer {
    /// Adds a metadata value. Keys are written in the order in which they come.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    /// Adds a tensor, outermost dimension first. A kind whose blocks do not fit the innermost dimension
    /// gives way to f16; the kind that was stored is returned.
    ///
    /// # Panics
    /// When there are not as many values as the shape says.
    pub fn add(&mut self, name: &str, shape: &[usize], kind: Kind, values: &[f32]) -> Kind {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape of {name}");
        let row = shape.last().copied().unwrap_or(1);
        let kind = if row % kind.block() == 0 { kind } else { Kind::F16 };
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        self.tensors.push((name.to_owned(), shape.to_vec(), kind, self.data.len()));
        kind.encode(values, &mut self.data);
        kind
    }

    /// The bytes of the file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.data.len() + 65_536);
        file.extend(MAGIC);
        file.extend(VERSION.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(key, &mut file);
            file.extend(value.code().to_le_bytes());
            write(value, &mut file);
        }
        for (name, shape, kind, offset) in &self.tensors {
            text(name, &mut file);
            file.extend((shape.len() as u32).to_le_bytes());
            for &size in shape.iter().rev() {
                file.extend((size as u64).to_le_bytes());
            }
            file.extend(kind.code().to_le_bytes());
            file.extend((*offset as u64).to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(self.data);
        file
    }
}

fn text(text: &str, file: &mut Vec<u8>) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn write(value: &Value, file: &mut Vec<u8>) {
    match value {
        Value::U32(number) => file.extend(number.to_le_bytes()),
        Value::I32(number) => file.extend(number.to_le_bytes()),
        Value::U64(number) => file.extend(number.to_le_bytes()),
        Value::I64(number) => file.extend(number.to_le_bytes()),
        Value::F32(number) => file.extend(number.to_le_bytes()),
        Value::F64(number) => file.extend(number.to_le_bytes()),
        Value::Bool(flag) => file.push(u8::from(*flag)),
        Value::Text(content) => text(content, file),
        Value::Array(values) => {
            file.extend(values.first().map_or(4, Value::code).to_le_bytes());
            file.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| write(value, file));
        }
    }
}
