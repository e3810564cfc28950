//! Floods, and messages that are made expensive to read.
