//! Hellos that are too long, wrong, or made to be told apart.

use super::common::der::{Certificate, Part, certificate as encode};

/// Subject of [`certificate`].
pub const CERTIFICATE_SUBJECT: &str = "CN=update.vendor.example";

/// A certificate.
pub fn certificate() -> Vec<u8> {
    let subject = &[Part::CommonName("update.vendor.example")];
    encode(Certificate { subject, issuer: subject, names: &["update.vendor.example"], seed: 3 })
}
