//! The report on a set: first the numbers ([`measure`]), then the page that shows them ([`draw`]).

pub(crate) mod draw;
pub(crate) mod measure;
