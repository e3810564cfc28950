//! skeleton
pub mod capture;
pub mod decode;
pub mod fact;
pub mod fingerprint;
pub mod flow;
pub mod ledger;
pub mod merge;
pub mod parse;
pub mod run;
pub mod stream;
pub mod record;
pub mod time;
pub mod worker;
