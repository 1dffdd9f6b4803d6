//! The second stage: what must not be shown. A filter answers one video yes or no; the frame counts.

mod categories;
mod excluded;
mod hidden;
mod own;
mod seen;

pub use categories::Categories;
pub use excluded::Excluded;
pub use hidden::Hidden;
pub use own::OwnUploads;
pub use seen::Seen;
