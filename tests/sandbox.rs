//! What is out of reach in the sandbox: each test runs itself again as a process that enters it and then tries.
//!
//! What the kernel says is compared with its documentation, not with the lists of the program. A kernel without landlock
//! cannot show what landlock does: the tests of files then say so on standard error, or fail with `BORDERTAP_LIVE=must`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};

use bordertap::sandbox::{Entered, Mode, Plan, SandboxError, enter};

/// `EPERM`: what the filter of calls answers. `EACCES`: what landlock answers.
const EPERM: i32 = 1;
const EACCES: i32 = 13;
/// The signal of a call that ends the process.
const SIGSYS: i32 = 31;

const APART: &str = "BORDERTAP_SANDBOX_APART";

/// Runs the test named so again in a process of its own; none in there, where `APART` says what to try.
fn apart(test: &str, what: &str) -> Option<Output> {
    if std::env::var_os(APART).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    Some(command.args(["--exact", test, "--nocapture"]).env(APART, what).output().unwrap())
}

/// As [`apart`], for a process that must come to its end; true inside.
fn inside(test: &str) -> bool {
    let Some(output) = apart(test, "all") else { return true };
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{:?}\n{}", output.status, said.concat());
    // What could not be shown is said where it is read.
    let mut say = io::stderr();
    for line in said[1].lines().filter(|line| line.starts_with("NOT RUN")) {
        writeln!(say, "\n{line}\n").unwrap();
    }
    false
}

/// A test runs on a thread of its own, so one thread is missing in every one of these; the rest holds for this thread and
/// those that it starts.
fn entered(plan: Plan) -> Entered {
    let entered = enter(&plan).unwrap();
    assert!(entered.seccomp && entered.no_capabilities, "{entered}");
    entered
}

/// The kernel has landlock, or the test says that it could not show it.
fn shows_files(entered: &Entered) -> bool {
    if entered.landlock.is_none() {
        let mut say = io::stderr();
        writeln!(say, "\nNOT RUN: what landlock does, which this kernel does not have").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "no landlock");
    }
    entered.landlock.is_some()
}

#[track_caller]
fn is_refused<T>(tried: io::Result<T>, number: i32) {
    match tried {
        Ok(_) => panic!("that was possible"),
        Err(error) => assert_eq!(error.raw_os_error(), Some(number), "{error}"),
    }
}

#[test]
fn outputs_are_written_and_nothing_else_is_touched() {
    if !inside("outputs_are_written_and_nothing_else_is_touched") {
        return;
    }
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (ours, theirs) = (ours.path(), theirs.path());
    fs::write(theirs.join("secret"), "secret").unwrap();
    // A link that leads out of the folder leads to what is out of reach.
    std::os::unix::fs::symlink(theirs.join("secret"), ours.join("link")).unwrap();
    let entered = entered(Plan { write: vec![ours.join("findings.jsonl"), "/dev/null".into()], ..Plan::default() });
    if !shows_files(&entered) {
        return;
    }
    is_refused(fs::read(theirs.join("secret")), EACCES);
    is_refused(fs::read(ours.join("link")), EACCES);
    is_refused(fs::write(theirs.join("new"), ""), EACCES);
    is_refused(fs::write(theirs.join("secret"), ""), EACCES);
    is_refused(fs::remove_file(theirs.join("secret")), EACCES);
    is_refused(fs::read_dir(theirs), EACCES);
    is_refused(fs::read("/etc/passwd"), EACCES);
    is_refused(fs::read("/proc/1/status"), EACCES);
    is_refused(fs::rename(ours.join("link"), theirs.join("link")), EACCES);

    fs::create_dir_all(ours.join("2026-11/spool")).unwrap();
    fs::write(ours.join("findings.jsonl.part"), "1\n2\n").unwrap();
    fs::rename(ours.join("findings.jsonl.part"), ours.join("2026-11/findings.jsonl")).unwrap();
    let mut file = fs::OpenOptions::new().read(true).append(true).open(ours.join("2026-11/findings.jsonl")).unwrap();
    file.write_all(b"3\n").unwrap();
    file.sync_all().unwrap();
    file.set_len(4).unwrap();
    assert_eq!(fs::read(ours.join("2026-11/findings.jsonl")).unwrap(), b"1\n2\n");
    let mut unnamed = tempfile::tempfile_in(ours).unwrap();
    unnamed.write_all(b"spool").unwrap();
    fs::remove_dir(ours.join("2026-11/spool")).unwrap();
    fs::remove_dir_all(ours.join("2026-11")).unwrap();
    fs::write("/dev/null", "x").unwrap();
    assert!(!fs::read_to_string("/proc/self/statm").unwrap().is_empty());
}

#[test]
// To wait for another process is refused in there.
#[allow(clippy::zombie_processes)]
fn what_is_read_again_may_have_been_replaced() {
    if !inside("what_is_read_again_may_have_been_replaced") {
        return;
    }
    let [given, linked, pending] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let policy = given.path().join("policy.toml");
    fs::write(linked.path().join("v1.toml"), "one").unwrap();
    std::os::unix::fs::symlink(linked.path().join("v1.toml"), &policy).unwrap();
    // Somebody else replaces it: a process outside the sandbox, which waits for a word.
    let script = "read go; echo two > $0/new && mv $0/new $1; echo done; read end";
    let mut other = Command::new("sh");
    other.args(["-c", script]).arg(given.path()).arg(&policy);
    other.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut other = other.spawn().unwrap();
    let absent = pending.path().join("absent").join("asn.mmdb");
    let entered = entered(Plan { read: vec![policy.clone(), absent], ..Plan::default() });
    if !shows_files(&entered) {
        return;
    }
    assert_eq!(fs::read_to_string(&policy).unwrap(), "one");
    other.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut done = [0; 5];
    other.stdout.as_mut().unwrap().read_exact(&mut done).unwrap();
    assert_eq!(fs::read_to_string(&policy).unwrap(), "two\n", "a new file of the same name is read");
    is_refused(fs::write(&policy, "three"), EACCES);
    is_refused(fs::remove_file(&policy), EACCES);
}

#[test]
fn a_folder_that_is_missing_is_said_before_anything_runs() {
    if !inside("a_folder_that_is_missing_is_said_before_anything_runs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("missing/findings.jsonl");
    let refused = enter(&Plan { write: vec![output], ..Plan::default() }).unwrap_err();
    assert!(matches!(&refused, SandboxError::Path { path, .. } if *path == folder.path().join("missing")), "{refused}");
}

#[test]
fn there_is_no_network_but_what_was_open() {
    if !inside("there_is_no_network_but_what_was_open") {
        return;
    }
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut reader = TcpStream::connect(metrics.local_addr().unwrap()).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    entered(Plan { listen: true, ..Plan::default() });
    let (mut served, _) = metrics.accept().unwrap();
    served.write_all(b"up 1\n").unwrap();
    drop(served);
    let mut page = String::new();
    reader.read_to_string(&mut page).unwrap();
    assert_eq!(page, "up 1\n");

    is_refused(TcpListener::bind("127.0.0.1:0"), EPERM);
    is_refused(TcpStream::connect(metrics.local_addr().unwrap()), EPERM);
    is_refused(UdpSocket::bind("127.0.0.1:0"), EPERM);
    is_refused(UnixDatagram::unbound(), EPERM);
    is_refused(datagrams.send_to(b"out", "127.0.0.1:9"), EPERM);
    is_refused(datagrams.connect("127.0.0.1:9"), EPERM);
}

#[test]
fn nobody_is_let_in_when_nobody_was_expected() {
    if !inside("nobody_is_let_in_when_nobody_was_expected") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _waits = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    entered(Plan::default());
    is_refused(listener.accept(), EPERM);
}

#[test]
fn an_output_to_a_unix_socket_may_connect_again() {
    if !inside("an_output_to_a_unix_socket_may_connect_again") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("out.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    entered(Plan { unix: true, ..Plan::default() });
    for _ in 0..2 {
        let mut output = UnixStream::connect(&socket).unwrap();
        output.write_all(b"{}\n").unwrap();
    }
    is_refused(listener.accept(), EPERM);
    is_refused(UdpSocket::bind("127.0.0.1:0"), EPERM);
    is_refused(TcpStream::connect("127.0.0.1:9"), EPERM);
    is_refused(UnixListener::bind(folder.path().join("new.sock")), EPERM);
}

#[test]
fn what_only_an_attacker_calls_ends_the_process() {
    let test = "what_only_an_attacker_calls_ends_the_process";
    for what in ["run", "trace", "mount"] {
        let Some(output) = apart(test, what) else { break };
        assert_eq!(output.status.signal(), Some(SIGSYS), "{what}: {:?} {:?}", output.status, output.stderr);
    }
    let Ok(what) = std::env::var(APART) else { return };
    entered(Plan::default());
    match what.as_str() {
        "run" => panic!("{}", Command::new("true").exec()),
        "trace" => panic!("{:?}", nix::sys::ptrace::traceme()),
        _ => {
            let (none, flags) = (None::<&str>, nix::mount::MsFlags::MS_REMOUNT);
            panic!("{:?}", nix::mount::mount(none, "/", none, flags, none));
        }
    }
}

#[test]
fn there_is_no_other_process_and_no_memory_that_runs() {
    if !inside("there_is_no_other_process_and_no_memory_that_runs") {
        return;
    }
    entered(Plan::default());
    is_refused(Command::new("true").spawn(), EPERM);
    is_refused(memmap2::MmapMut::map_anon(4096).unwrap().make_exec(), EPERM);
    let mut memory = memmap2::MmapMut::map_anon(1 << 20).unwrap();
    memory[4096] = 1;
    assert!(memory.make_read_only().is_ok());
}

/// A field of a file of the kernel.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap_or_else(|| panic!("{status}"))
}

#[test]
fn no_right_is_left_and_threads_have_none() {
    if !inside("no_right_is_left_and_threads_have_none") {
        return;
    }
    let said = entered(Plan::default());
    let has_files = said.landlock.is_some();
    let check = move || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set}");
        }
        assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), ("1", "2"));
        is_refused(UdpSocket::bind("127.0.0.1:0"), EPERM);
        if has_files {
            is_refused(fs::read("/etc/passwd"), EACCES);
        }
        status
    };
    let mine = check();
    std::thread::spawn(check).join().unwrap();
    // Root may shorten the list of what can be had; for others it is out of reach anyway.
    if said.user == "root" {
        assert_eq!(field(&mine, "CapBnd"), "0000000000000000");
    }
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert_eq!(field(&status, "Seccomp"), "2", "also on threads that ran before");
    }
}

#[test]
fn strict_wants_everything() {
    if !inside("strict_wants_everything") {
        return;
    }
    // The thread of the test is not the only one.
    let refused = enter(&Plan { mode: Mode::Strict, ..Plan::default() }).unwrap_err();
    assert!(
        matches!(refused, SandboxError::Missing(_)) && refused.to_string().contains("a single thread"),
        "{refused}"
    );
}

#[test]
fn off_changes_nothing() {
    let rights = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        ["CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"].map(|name| field(&status, name).to_owned())
    };
    let before = rights();
    let entered = enter(&Plan { mode: Mode::Off, ..Plan::default() }).unwrap();
    assert_eq!((entered.landlock, entered.seccomp, entered.no_capabilities), (None, false, false));
    assert_eq!(rights(), before);
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn a_user_that_nobody_is_is_refused() {
    let plan = Plan { user: Some("no-such-user-here".to_owned()), ..Plan::default() };
    let refused = enter(&plan).unwrap_err();
    assert_eq!(refused.to_string(), "--user no-such-user-here: there is no such user");
}
