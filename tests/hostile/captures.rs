//! Captures that are broken, rare or bombs, and times that cannot be.
