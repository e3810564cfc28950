//! QUIC and DTLS that are fragmented, reordered, unknown or too many.
