//! Published datasets of image quality: from the text of their label files to [`Entry`]s, from their
//! scales to ours, and from manifests to counts and conversations.
//!
//! Text in, records out. Nothing here opens a file, so nothing here knows whether an image exists; that
//! is the pipeline's part. A parser reads what the dataset's authors publish and names the line or key
//! that it could not read. It never guesses a value and never leaves out a row.
//!
//! [`Format::parse`] is the way in; each format family has one file.

mod agiqa;
mod conversations;
mod counts;
mod csiq;
mod csv;
mod direction;
mod entry;
mod error;
mod format;
mod json;
mod kadid;
mod koniq;
mod leak;
mod live_w;
mod naming;
mod pipal;
mod pyiqa;
mod scale;
mod spaq;
mod table;
mod visual_quality;

pub use conversations::{Conversation, ConversationFormat, Message, Said, read_conversations};
pub use counts::Counts;
pub use direction::{Evidence, UpsideDown, evidence};
pub use entry::{Entry, Labels, Place, StdScale, Step};
pub use error::ParseError;
pub use format::{Format, UnknownFormat};
pub use json::deqa_item;
pub use leak::{Leak, leaks};
pub use scale::{Direction, NoRange, OutOfRange, Range, Scale};
pub(crate) use table::{Record, Table};
