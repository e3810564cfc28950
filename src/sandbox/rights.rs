//! Who the sensor is, and what it may do as such.
//!
//! In: the name of a user. Out: a process of this user, without capabilities and without a way to new ones. Sources:
//! capabilities(7), setresuid(2), Documentation/userspace-api/no_new_privs.rst of Linux.

use std::io;

use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::{SandboxError, refused};

/// Capabilities are bits of such a number.
const CAPABILITIES_MAX: u32 = 64;

/// Looks a user up, while files can still be read.
pub(super) fn find(name: &str) -> Result<User, SandboxError> {
    let found = User::from_name(name).map_err(|e| SandboxError::User { user: name.to_owned(), reason: e.into() })?;
    found.ok_or_else(|| SandboxError::UnknownUser(name.to_owned()))
}

/// How many threads run now.
pub(super) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
}

/// No program that is run gives rights, and no capability of the parents is left to be had.
pub(super) fn close_ways_back() -> Result<(), SandboxError> {
    set_no_new_privs(true).map_err(|e| refused("give up new privileges")(e.into()))?;
    let mine = capabilities(None).map_err(|e| refused("read capabilities")(e.into()))?;
    // Who lacks this one may not shorten the list, and has no use for it without new privileges.
    if !mine.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for bit in 0..CAPABILITIES_MAX {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(one) {
            Ok(true) => remove_capability_from_bounding_set(one)
                .map_err(|e| refused("shorten the list of capabilities")(e.into()))?,
            Ok(false) => {}
            // The kernel knows no more.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Becomes a user, a member of no group but their own.
pub(super) fn become_user(user: &User) -> Result<(), SandboxError> {
    if geteuid() == user.uid && !user.uid.is_root() {
        return Ok(());
    }
    let (uid, gid): (Uid, Gid) = (user.uid, user.gid);
    setgroups(&[gid])
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .map_err(|e| SandboxError::User { user: user.name.clone(), reason: io::Error::from(e) })
}

/// The name of who runs it, or the number of one without a name.
pub(super) fn user_name() -> String {
    let uid = geteuid();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Gives up every capability.
pub(super) fn drop_capabilities() -> Result<(), SandboxError> {
    // A kernel without ambient capabilities has none to clear.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|e| refused("give up capabilities")(e.into()))
}
