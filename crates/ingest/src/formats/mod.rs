//! One file for each kind of content, and the recognition of what lies before us.

pub(crate) mod around;
pub(crate) mod daily;
pub(crate) mod events;
pub(crate) mod friends;
pub(crate) mod length;
pub(crate) mod lines;
pub(crate) mod nested;
pub(crate) mod recognise;
pub(crate) mod users;
pub(crate) mod videos;
