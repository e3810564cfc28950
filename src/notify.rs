//! What the supervisor of a service hears: that it is ready, what it does, that it still works, that it ends.
//!
//! In: the socket that the supervisor names in NOTIFY_SOCKET. Out: its messages; without one nothing is said. The socket is
//! connected once, before the sandbox is entered, and never waited for. Source: sd_notify(3).

use std::time::Duration;

/// Longest line that says what it does.
const STATUS_BYTES_MAX: usize = 500;

/// The ear of the supervisor, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<socket::Socket>,
    watchdog: Option<Duration>,
    /// The work that was done when it was told last.
    done: Option<u64>,
}

/// A message.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum Told<'a> {
    Ready,
    Reloading,
    Stopping,
    Watchdog,
    Status(&'a str),
}

impl Notify {
    /// Connects to the supervisor.
    ///
    /// # Errors
    /// When one is named and cannot be reached.
    pub fn open() -> std::io::Result<Notify> {
        let socket = socket::open()?;
        let watchdog = if socket.is_some() { socket::watchdog() } else { None };
        Ok(Notify { socket, watchdog, done: None })
    }

    /// Somebody listens.
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// The supervisor ends the program when it hears nothing for so long; half of it is a good turn.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Packets are being kept; or, after [`Notify::reloading`], all is read again.
    pub fn ready(&self) {
        self.tell(&[Told::Ready]);
    }

    /// Files are being read again.
    pub fn reloading(&self) {
        self.tell(&[Told::Reloading]);
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell(&[Told::Stopping]);
    }

    /// One turn: what it does, in one line, and how much work was done so far, in a number that grows while the workers
    /// work and also when the wire is quiet. Nothing is said for a turn in which it did not grow: a program that hangs
    /// is then ended and started again.
    pub fn turn(&mut self, status: &str, done: u64) {
        if self.socket.is_none() {
            return;
        }
        let short = status.char_indices().take_while(|(at, c)| at + c.len_utf8() <= STATUS_BYTES_MAX);
        let line: String = short.map(|(_, c)| if c.is_control() { ' ' } else { c }).collect();
        let status = Told::Status(&line);
        if self.done.replace(done) == Some(done) {
            self.tell(&[status]);
        } else {
            self.tell(&[status, Told::Watchdog]);
        }
    }

    fn tell(&self, what: &[Told<'_>]) {
        if let Some(socket) = &self.socket {
            socket.tell(what);
        }
    }
}

#[cfg(target_os = "linux")]
mod socket {
    use std::ffi::OsStr;
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use sd_notify::NotifyState;

    use super::Told;

    #[derive(Debug)]
    pub(super) struct Socket(pub(super) UnixDatagram);

    pub(super) fn open() -> io::Result<Option<Socket>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
        let socket = UnixDatagram::unbound()?;
        let address = match name.as_bytes() {
            // A name that is no file.
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
        };
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Socket(socket)))
    }

    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    impl Socket {
        pub(super) fn tell(&self, what: &[Told<'_>]) {
            let mut text = String::new();
            for told in what {
                let state = match told {
                    Told::Ready => NotifyState::Ready,
                    Told::Reloading => NotifyState::Reloading,
                    Told::Stopping => NotifyState::Stopping,
                    Told::Watchdog => NotifyState::Watchdog,
                    Told::Status(line) => NotifyState::Status(line),
                };
                text.push_str(&format!("{state}\n"));
                // A supervisor tells two reloads apart by when they began.
                if let (Told::Reloading, Ok(now)) = (told, NotifyState::monotonic_usec_now()) {
                    text.push_str(&format!("{now}\n"));
                }
            }
            // A supervisor that does not listen is no reason to stop.
            let _ = self.0.send(text.as_bytes());
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    use super::Told;

    #[derive(Debug)]
    pub(super) enum Socket {}

    pub(super) fn open() -> std::io::Result<Option<Socket>> {
        Ok(None)
    }

    pub(super) fn watchdog() -> Option<std::time::Duration> {
        None
    }

    impl Socket {
        pub(super) fn tell(&self, _: &[Told<'_>]) {}
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A supervisor that needs no name: the tests of the program have one that does.
    fn pair() -> (Notify, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Notify { socket: Some(socket::Socket(ours)), ..Notify::default() }, theirs)
    }

    fn heard(theirs: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = theirs.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_turn_without_work_is_no_sign_of_life() {
        let (mut notify, theirs) = pair();
        notify.turn("1 packet", 7);
        assert_eq!(heard(&theirs), "STATUS=1 packet\nWATCHDOG=1\n");
        notify.turn("1 packet", 7);
        assert_eq!(heard(&theirs), "STATUS=1 packet\n");
        notify.turn("2 packets\nREADY=1", 8);
        assert_eq!(heard(&theirs), "STATUS=2 packets READY=1\nWATCHDOG=1\n", "one line, whatever is in it");
        notify.turn(&"ä".repeat(1000), 9);
        assert_eq!(heard(&theirs), format!("STATUS={}\nWATCHDOG=1\n", "ä".repeat(STATUS_BYTES_MAX / 2)));
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let (notify, theirs) = pair();
        notify.reloading();
        let text = heard(&theirs);
        let began = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.strip_suffix('\n'));
        assert!(began.unwrap().parse::<u64>().unwrap() > 0, "{text}");
        notify.ready();
        assert_eq!(heard(&theirs), "READY=1\n");
    }

    #[test]
    fn nobody_is_told_anything_without_a_supervisor() {
        let mut notify = Notify::default();
        notify.ready();
        notify.turn("", 1);
        assert!(!notify.is_heard());
    }
}
