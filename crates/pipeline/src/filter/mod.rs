//! The second stage: what must not be shown. A filter answers one video yes or no; the frame counts.

mod age;
mod asked;
mod blocked;
mod categories;
mod excluded;
mod hidden;
mod label;
mod own;
mod seen;
mod served;

pub use age::Age;
pub use asked::Asked;
pub use blocked::BlockedAuthors;
pub use categories::Categories;
pub use excluded::Excluded;
pub use hidden::Hidden;
pub use label::Label;
pub(crate) use label::agree;
pub use own::OwnUploads;
pub use seen::Seen;
pub use served::Served;
