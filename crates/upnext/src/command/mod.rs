//! One file for each verb.

pub mod demo;
pub mod import;
pub mod train;
pub mod eval;
pub mod recommend;
pub mod explain;
pub mod serve;
