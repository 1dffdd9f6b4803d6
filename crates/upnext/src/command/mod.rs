//! One file for each verb.

pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod encode;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod forget;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod map;
pub(crate) mod on_engine;
pub(crate) mod pictures;
pub(crate) mod recommend;
pub(crate) mod report;
pub(crate) mod retrain;
pub(crate) mod rollback;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod tune;
pub(crate) mod validate;
pub(crate) mod vectors;
