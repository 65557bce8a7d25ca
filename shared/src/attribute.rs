//! The six attributes that every reasoning judges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One aspect of visual quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Attribute {
    Sharpness,
    Noise,
    Exposure,
    Contrast,
    Colour,
    Compression,
}

impl Attribute {
    /// All attributes in the order in which a reasoning lists them.
    pub const ALL: [Attribute; 6] = [
        Attribute::Sharpness,
        Attribute::Noise,
        Attribute::Exposure,
        Attribute::Contrast,
        Attribute::Colour,
        Attribute::Compression,
    ];

    /// The word of the response grammar.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Attribute::Sharpness => "sharpness",
            Attribute::Noise => "noise",
            Attribute::Exposure => "exposure",
            Attribute::Contrast => "contrast",
            Attribute::Colour => "colour",
            Attribute::Compression => "compression",
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Attribute {
    type Err = ();

    /// Reads the grammar's word in any case; the American spelling of colour is accepted.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.eq_ignore_ascii_case("color") {
            return Ok(Attribute::Colour);
        }
        Attribute::ALL.into_iter().find(|attribute| attribute.word().eq_ignore_ascii_case(text)).ok_or(())
    }
}
