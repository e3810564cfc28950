//! Unpacks the country database, so that a start does not have to, and tells the program how it was
//! built; `bordertap bench` reports it.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const COUNTRIES: &str = "signatures/place/country.mmdb.zst";
const UNPACKED_BYTES_MAX: usize = 64 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={COUNTRIES}");
    let unpacked = zstd::bulk::decompress(&fs::read(COUNTRIES)?, UNPACKED_BYTES_MAX)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("country.mmdb"), unpacked)?;
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    // Where it was built is no news of how.
    let encoded = variable("CARGO_ENCODED_RUSTFLAGS");
    let flags: Vec<&str> = encoded.split('\u{1f}').filter(|flag| !flag.starts_with("--remap-path-prefix")).collect();
    let mut features: Vec<String> = env::vars()
        .filter_map(|(name, _)| name.strip_prefix("CARGO_FEATURE_").map(str::to_lowercase))
        .filter(|name| name != "default")
        .collect();
    features.sort();
    for (name, value) in [
        ("RUSTC", compiler),
        ("PROFILE", variable("PROFILE")),
        ("OPT_LEVEL", variable("OPT_LEVEL")),
        ("TARGET", variable("TARGET")),
        ("RUSTFLAGS", flags.join(" ")),
        ("FEATURES", features.join(" ")),
    ] {
        println!("cargo:rustc-env=BORDERTAP_BUILD_{name}={value}");
    }
    Ok(())
}
