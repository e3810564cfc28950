//! Hellos that are too long, wrong, or made to be told apart.
