//! Values of a file's metadata.

/// One value. Small integers are read as the next larger of these kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    /// Values of one kind.
    Array(Vec<Value>),
}

impl Value {
    /// The number that the format gives this kind.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::Array(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// As a whole number, where it is one that is not negative.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match *self {
            Self::U32(number) => Some(number.into()),
            Self::I32(number) => number.try_into().ok(),
            Self::U64(number) => Some(number),
            Self::I64(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// As a text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u32]> for Value {
    fn from(numbers: &[u32]) -> Self {
        Self::Array(numbers.iter().map(|&number| Self::U32(number)).collect())
    }
}

impl From<&[f32]> for Value {
    fn from(numbers: &[f32]) -> Self {
        Self::Array(numbers.iter().map(|&number| Self::F32(number)).collect())
    }
}
