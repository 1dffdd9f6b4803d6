//! One file for each verb.

pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod recommend;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod vectors;
