//! Seccomp: which calls to the kernel are still answered.
//!
//! In: what is still needed. Out: a filter on every thread. A call that is not on the lists is refused with EPERM, not
//! answered by the end of the process: a sensor that dies of a call that nobody thought of is worse than a record that is
//! lost and counted. Only calls that no sensor has a reason for, and every attacker has, end it. The lists come from runs
//! under strace(1) with every output and with several workers, and from what the standard library, glibc and musl call
//! for the same things elsewhere. Sources: seccomp(2), syscalls(2).

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter_all_threads,
};

use super::{Plan, SandboxError};

/// Filters the calls of every thread; false when the kernel cannot.
pub(super) fn confine(plan: &Plan) -> Result<bool, SandboxError> {
    let build = |rules: Rules, others: SeccompAction, these: SeccompAction| -> Result<BpfProgram, SandboxError> {
        let here = TargetArch::try_from(std::env::consts::ARCH).map_err(refused)?;
        SeccompFilter::new(rules, others, these, here).and_then(BpfProgram::try_from).map_err(refused)
    };
    // The strictest answer of all filters holds. What a structure in memory asks for cannot be seen by one: threads are
    // made by the older call, whose flags it sees, when the newer is said not to exist.
    let attacks = build(plain(ATTACKS), SeccompAction::Allow, SeccompAction::KillProcess)?;
    let newer = build(plain(&[libc::SYS_clone3]), SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    let needed = build(needed(plan).map_err(refused)?, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?;
    for filter in [attacks, newer, needed] {
        match apply_filter_all_threads(&filter) {
            Ok(()) => {}
            Err(Error::Prctl(_) | Error::Seccomp(_)) => return Ok(false),
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(true)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn refused(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Refused { what: "filter calls", reason: error.to_string() }
}

/// Calls whatever their arguments.
fn plain(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// What no sensor has a reason for: to run a program, to reach into another one, to change the system or its namespaces.
const ATTACKS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// What a sensor does all the time, whatever the arguments.
const PLAIN: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    // Threads; the flags of `clone` are below.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    // Time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    // Signals.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // What is open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Files: landlock says which.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_fchmod,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    // Sockets that are open: the counters of a ring, the filter that ends it, a reader of metrics.
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    // The machine.
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
];

/// Older calls for the same things, where the machine has them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_time,
];
#[cfg(target_arch = "aarch64")]
const OLDER: &[i64] = &[libc::SYS_renameat, libc::SYS_getrlimit];
#[cfg(target_arch = "riscv64")]
const OLDER: &[i64] = &[];

/// What a terminal, a socket and an interface are asked: not TIOCSTI, which types into the terminal.
// The width of these numbers differs by C library.
#[allow(clippy::unnecessary_cast)]
const ASKED: &[u64] = &[
    libc::TCGETS as u64,
    libc::TCSETS as u64,
    libc::TCSETSW as u64,
    libc::TCSETSF as u64,
    libc::TIOCGWINSZ as u64,
    libc::TIOCGPGRP as u64,
    libc::FIONREAD as u64,
    libc::FIONBIO as u64,
    libc::FIOCLEX as u64,
    libc::SIOCGIFFLAGS as u64,
];

/// `PR_SET_VMA`: names memory, as glibc and mimalloc do.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// The calls that are answered.
fn needed(plan: &Plan) -> Result<Rules, BackendError> {
    let is = |argument, value| SeccompRule::new(vec![SeccompCondition::new(argument, Dword, Eq, value)?]);
    let masked =
        |argument, mask, value| SeccompRule::new(vec![SeccompCondition::new(argument, Dword, MaskedEq(mask), value)?]);
    let none = |argument| SeccompRule::new(vec![SeccompCondition::new(argument, Qword, Eq, 0)?]);
    let mut rules = plain(PLAIN);
    rules.extend(plain(OLDER));
    // Threads, no processes; a signal to nobody but itself, as `abort` sends it.
    rules.insert(libc::SYS_clone, vec![masked(0, libc::CLONE_THREAD as u64, libc::CLONE_THREAD as u64)?]);
    rules.insert(libc::SYS_tgkill, vec![is(0, std::process::id().into())?]);
    // Memory of which nothing is run.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![masked(2, libc::PROT_EXEC as u64, 0)?]);
    }
    // Limits are read, not set.
    rules.insert(libc::SYS_prlimit64, vec![none(2)?]);
    let named = [libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, PR_SET_VMA];
    rules.insert(libc::SYS_prctl, named.into_iter().map(|name| is(0, name)).collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_ioctl, ASKED.iter().map(|request| is(1, *request)).collect::<Result<_, _>>()?);
    // A pair of sockets leads nowhere: it wakes a thread at a signal.
    let unix = || is(0, libc::AF_UNIX as u64);
    rules.insert(libc::SYS_socketpair, vec![unix()?]);
    // To whom a socket is connected already.
    rules.insert(libc::SYS_sendto, vec![none(4)?]);
    if plan.listen {
        rules.extend(plain(&[libc::SYS_accept4, libc::SYS_accept, libc::SYS_sendmsg]));
    }
    if plan.unix {
        rules.insert(libc::SYS_socket, vec![unix()?]);
        rules.extend(plain(&[libc::SYS_connect, libc::SYS_sendto, libc::SYS_sendmsg]));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_needed_and_an_attack() {
        let plan = Plan { listen: true, unix: true, ..Plan::default() };
        let needed = needed(&plan).unwrap();
        assert!(ATTACKS.iter().all(|call| !needed.contains_key(call)));
    }

    #[test]
    fn nobody_who_does_not_ask_gets_a_socket() {
        let asked = |listen, unix| needed(&Plan { listen, unix, ..Plan::default() }).unwrap();
        assert!(!asked(true, false).contains_key(&libc::SYS_socket));
        assert!(!asked(false, true).contains_key(&libc::SYS_accept4));
        for call in [libc::SYS_bind, libc::SYS_listen] {
            assert!(!asked(true, true).contains_key(&call));
        }
    }
}
