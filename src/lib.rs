//! skeleton
pub mod capture;
pub mod decode;
pub mod fact;
pub mod fingerprint;
pub mod flow;
pub mod parse;
pub mod time;
