//! Landlock: which files are still there, and that no port is.
//!
//! In: what is read again and where is written. Out: the version of landlock, when the kernel has it; everything else is
//! then out of reach, and no TCP port can be bound or connected to (ABI 4), no abstract socket and no process outside
//! reached (ABI 6). Source: Documentation/userspace-api/landlock.rst of Linux.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{Access as Ask, access};

use super::SandboxError;

/// The newest version that this file knows what to allow of.
const KNOWN: ABI = ABI::V7;

/// What the program reads of itself, its memory among it.
const ITSELF: &str = "/proc/self";

/// Refuses outputs that the user could not write.
pub(super) fn check_writable(write: &[PathBuf], user: &str) -> Result<(), SandboxError> {
    for path in write {
        let path = place(path);
        if access(&path, Ask::WRITE_OK).is_err() && path.exists() {
            return Err(SandboxError::NotWritable { path, user: user.to_owned() });
        }
    }
    Ok(())
}

/// Takes every file away but those; gives the version and what must stay open.
pub(super) fn confine(read: &[PathBuf], write: &[PathBuf]) -> Result<Option<(u32, Option<OwnedFd>)>, SandboxError> {
    let looking = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = looking
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .map_err(refused)?;
    for path in write {
        let path = place(path);
        let opened = PathFd::new(&path).map_err(|e| SandboxError::Path { path: path.clone(), reason: cause(&e) })?;
        rules = rules.add_rule(PathBeneath::new(opened, of_kind(&path, writing))).map_err(refused)?;
    }
    // A link in the folder leads to a file elsewhere, which is read there.
    let targets = read.iter().filter_map(|path| fs::canonicalize(path).ok());
    for path in read.iter().cloned().chain(targets) {
        let path = place(&path);
        let Ok(opened) = PathFd::new(&path) else { continue };
        rules = rules.add_rule(PathBeneath::new(opened, of_kind(&path, looking))).map_err(refused)?;
    }
    let itself = fs::File::open(ITSELF).map(OwnedFd::from).ok();
    if let Some(itself) = &itself {
        rules = rules.add_rule(PathBeneath::new(itself, looking)).map_err(refused)?;
    }
    let status = rules.restrict_self().map_err(refused)?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Ok(Some((effective_abi as u32, itself)))
        }
        _ => Ok(None),
    }
}

/// The folder that counts for a path; a device or a socket counts itself.
fn place(path: &Path) -> PathBuf {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return path.to_owned(),
        Ok(there) if !there.is_file() => return path.to_owned(),
        _ => {}
    }
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

/// Of these rights those that what is there can have: of a file fewer than of a folder.
fn of_kind(path: &Path, rights: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    match path.is_dir() {
        true => rights,
        false => rights & AccessFs::from_file(KNOWN),
    }
}

fn refused(error: landlock::RulesetError) -> SandboxError {
    SandboxError::Refused { what: "take files away", reason: cause(&error) }
}

/// The last reason of an error: what the system said.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(deeper) = last.source() {
        last = deeper;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_file_its_folder_counts_for_a_device_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        fs::write(&file, "").unwrap();
        assert_eq!(place(&file), folder.path());
        assert_eq!(place(folder.path()), folder.path());
        assert_eq!(place(&folder.path().join("made-later.json")), folder.path());
        assert_eq!(place(Path::new("report.json")), Path::new("."));
        assert_eq!(place(Path::new("/dev/null")), Path::new("/dev/null"));
    }
}
