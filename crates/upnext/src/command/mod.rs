//! One file for each verb.

pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod on_engine;
pub(crate) mod recommend;
pub(crate) mod serve;
pub(crate) mod train;
