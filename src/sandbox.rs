//! What the sensor gives up once everything is open: rights, files, calls to the kernel.
//!
//! In: a [`Plan`] of what is still needed: folders, a socket. Out: [`Entered`], which says what holds from now on. Whoever
//! takes over the program through a packet finds no capability, no file but those of the plan, no way to another program
//! or to the network. What stays are the descriptors that were open before: files, and the capture sockets, into which
//! frames could still be written. Linux only.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod calls;
#[cfg(all(target_os = "linux", not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))))]
mod calls {
    /// Which number is which call is not known here.
    pub(super) fn confine(_: &super::Plan) -> Result<bool, super::SandboxError> {
        Ok(false)
    }
}
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod rights;

use std::fmt;
use std::path::PathBuf;

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What the kernel has.
    #[default]
    Auto,
    /// Everything, or an error.
    Strict,
    /// Nothing; a user that was named is become all the same.
    Off,
}

/// What is still needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How much is asked for.
    pub mode: Mode,
    /// Become this user, and no member of other groups.
    pub user: Option<String>,
    /// Folders that are read again. For a file its folder counts, for a new version of it is another file; one that is not
    /// there is left out.
    pub read: Vec<PathBuf>,
    /// Folders in which files are made, written, renamed and deleted. For a file its folder counts, for a device it alone.
    pub write: Vec<PathBuf>,
    /// Connections come to a socket that listens already.
    pub listen: bool,
    /// Unix sockets are made and connected: an output that does so again when its reader went away.
    pub unix: bool,
}

/// Why it is not entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Nobody is called so.
    #[error("--user {0}: there is no such user")]
    UnknownUser(String),
    /// It may not.
    #[error("--user {user}: cannot become this user: {reason}; it needs root")]
    User {
        /// Which.
        user: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// An output could not be written later.
    #[error("{path}: not writable for the user {user}", path = path.display())]
    NotWritable {
        /// The folder or device.
        path: PathBuf,
        /// Who would write.
        user: String,
    },
    /// A place of the plan that cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Everything was asked for.
    #[error("--sandbox strict: missing here: {0}")]
    Missing(String),
    /// The system refused what it offers.
    #[error("the sandbox cannot {what}: {reason}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        reason: String,
    },
}

/// What holds. It is kept for as long as the program runs.
#[derive(Debug, Default)]
pub struct Entered {
    /// Version of landlock, when there is one.
    pub landlock: Option<u32>,
    /// Calls are filtered.
    pub seccomp: bool,
    /// No capability is left, and none can be had again.
    pub no_capabilities: bool,
    /// Who it runs as.
    pub user: String,
    /// Layers that are not there.
    pub missing: Vec<&'static str>,
    /// A rule for what is in /proc holds only while its folder is open.
    #[cfg(target_os = "linux")]
    _pinned: Option<std::os::fd::OwnedFd>,
}

impl fmt::Display for Entered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut holds: Vec<String> =
            self.landlock.map(|version| format!("landlock ABI {version}")).into_iter().collect();
        holds.extend(self.seccomp.then(|| "seccomp".to_owned()));
        holds.extend(self.no_capabilities.then(|| "no capabilities".to_owned()));
        holds.extend((!self.user.is_empty()).then(|| format!("user {}", self.user)));
        out.write_str(&holds.join(", "))
    }
}

/// Gives up everything but the plan. Called once, after everything is open and before a thread is started: landlock and
/// capabilities are those of a thread, which those that it starts later inherit.
///
/// # Errors
/// When the user cannot be become, when a folder of an output is missing or not writable, or when everything is asked for
/// and a layer is missing. The process is then in between and should end.
#[cfg(target_os = "linux")]
pub fn enter(plan: &Plan) -> Result<Entered, SandboxError> {
    let user = plan.user.as_deref().map(rights::find).transpose()?;
    let strict = plan.mode == Mode::Strict;
    let mut entered = Entered::default();
    if plan.mode != Mode::Off {
        if rights::threads() != 1 {
            entered.missing.push("a single thread: those that run already keep files and capabilities");
        }
        rights::close_ways_back()?;
    }
    if let Some(user) = &user {
        rights::become_user(user)?;
        files::check_writable(&plan.write, &user.name)?;
    }
    entered.user = rights::user_name();
    if plan.mode == Mode::Off {
        return Ok(entered);
    }
    rights::drop_capabilities()?;
    entered.no_capabilities = true;
    match files::confine(&plan.read, &plan.write)? {
        Some((version, pinned)) => (entered.landlock, entered._pinned) = (Some(version), pinned),
        None => entered.missing.push("landlock"),
    }
    // The filter refuses the calls by which all of this is made: it is the last.
    match calls::confine(plan)? {
        true => entered.seccomp = true,
        false => entered.missing.push("seccomp"),
    }
    if strict && !entered.missing.is_empty() {
        return Err(SandboxError::Missing(entered.missing.join("; ")));
    }
    Ok(entered)
}

/// Elsewhere there is none.
///
/// # Errors
/// When one is asked for, or another user.
#[cfg(not(target_os = "linux"))]
pub fn enter(plan: &Plan) -> Result<Entered, SandboxError> {
    if let Some(user) = &plan.user {
        return Err(SandboxError::User { user: user.clone(), reason: std::io::ErrorKind::Unsupported.into() });
    }
    match plan.mode {
        Mode::Strict => Err(SandboxError::Missing("a sandbox on this system".to_owned())),
        Mode::Auto => Ok(Entered { missing: vec!["a sandbox on this system"], ..Entered::default() }),
        Mode::Off => Ok(Entered::default()),
    }
}

#[cfg(target_os = "linux")]
fn refused(what: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
    move |reason| SandboxError::Refused { what, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_said_in_one_line() {
        let entered = Entered {
            landlock: Some(3),
            seccomp: true,
            no_capabilities: true,
            user: "nobody".to_owned(),
            ..Entered::default()
        };
        assert_eq!(entered.to_string(), "landlock ABI 3, seccomp, no capabilities, user nobody");
        assert_eq!(Entered::default().to_string(), "");
    }
}
