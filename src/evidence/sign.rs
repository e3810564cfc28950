//! Signatures of manifests: Ed25519, as `openssl` makes and verifies them without us.
//!
//! In: keys in PEM (PKCS #8, and SubjectPublicKeyInfo; RFC 8410), bytes. Out: 64 bytes (RFC 8032, section 5.1.6), or
//! whether they hold. `openssl genpkey -algorithm ed25519` makes a key, `openssl pkeyutl -verify -rawin` verifies.

use std::fs;
use std::path::Path;

use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::EvidenceError;

/// A private key.
pub struct SignKey(SigningKey);

impl SignKey {
    /// From a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or it is none.
    pub fn read(path: &Path) -> Result<SignKey, EvidenceError> {
        let text = fs::read_to_string(path).map_err(EvidenceError::io(path))?;
        let none = |_| EvidenceError::Usage(format!("{}: no Ed25519 private key in PEM", path.display()));
        SigningKey::from_pkcs8_pem(&text).map(SignKey).map_err(none)
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

/// A public key.
pub struct VerifyKey(VerifyingKey);

impl VerifyKey {
    /// From a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or it is none.
    pub fn read(path: &Path) -> Result<VerifyKey, EvidenceError> {
        let text = fs::read_to_string(path).map_err(EvidenceError::io(path))?;
        let none = |_| EvidenceError::Usage(format!("{}: no Ed25519 public key in PEM", path.display()));
        VerifyingKey::from_public_key_pem(&text).map(VerifyKey).map_err(none)
    }

    /// Whether a signature holds. Keys and signatures that several messages share are refused.
    pub(super) fn holds(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}
