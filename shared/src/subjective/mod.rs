//! Statistics of subjective studies: what people's votes on images say, and whose votes to trust.
//!
//! Pure functions of [`Ratings`]. Each statistic has one file and its results are wire types; a number that
//! does not exist is `None`, and no result holds NaN. [`report()`] gives everything at once.
//!
//! Items and subjects are indices into the caller's lists; results stand in the same order.

pub mod agreement;
pub mod bt500;
mod cholesky;
pub mod model;
pub mod mos;
pub mod p910;
pub mod pairs;
pub mod pearson;
pub mod ratings;
pub mod reliability;
pub mod report;

pub use mos::Interval;
pub use ratings::{BadRating, Rating, Ratings, Scale};
pub use report::{Report, Screening, report};
