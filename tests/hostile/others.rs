//! Other tools, and other ways to run: what must come out the same.
