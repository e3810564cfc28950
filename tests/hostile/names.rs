//! What a name is worth, and TLS where nobody expects it.
