//! Databases of places, signature packs, and where an address is.
