//! Outputs that fail, and runs that are ended.
