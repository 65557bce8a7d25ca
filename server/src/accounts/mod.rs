//! What accounts need besides rows and requests: random secrets, password hashing, limits on guessing.

pub mod limits;
pub mod passwords;
pub mod secret;
