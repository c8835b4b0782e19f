//! Ways out of a worker, each tried from inside and reported: a line `name: refused`, or `name: open` for one that worked.
//!
//! The calls are made by number, as code that took a worker over would make them, not through a library that might decline first.

#![expect(unsafe_code, reason = "system calls by number")]

use std::ffi::{CStr, c_void};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::ptr::null_mut;

use libc::{c_long, syscall};

/// What the test knows and the confined process could not find out by itself.
struct Target {
    /// The process that started this one.
    parent: i32,
    /// Where something of the parent lies in its memory.
    address: u64,
    /// A port on loopback where somebody listens.
    port: u16,
}

/// Confines the process as a worker, reads `parent address port` from its input, and tries everything.
pub fn main() -> ExitCode {
    sandbox::confined(|mut pipes, layers| {
        let mut told = String::new();
        let read = Read::by_ref(&mut pipes.requests).take(256).read_to_string(&mut told);
        let Some(target) = read.ok().and_then(|_| parse(&told)) else { return false };
        let mut report = format!("layers: {layers}\n");
        for (name, open) in attempts(&target) {
            report.push_str(&format!("{name}: {}\n", if open { "open" } else { "refused" }));
        }
        pipes.answers.write_all(report.as_bytes()).is_ok()
    })
}

fn parse(told: &str) -> Option<Target> {
    let mut parts = told.split_whitespace();
    Some(Target {
        parent: parts.next()?.parse().ok()?,
        address: parts.next()?.parse().ok()?,
        port: parts.next()?.parse().ok()?,
    })
}

fn attempts(target: &Target) -> Vec<(&'static str, bool)> {
    let mut all = files(target);
    all.extend(network(target));
    all.extend(processes());
    all.extend(parent(target));
    all.extend(kernel());
    all.push(("environment", std::env::vars_os().next().is_some()));
    all
}

/// Whether a call worked.
fn worked(answer: c_long) -> bool {
    answer >= 0
}

fn opens(path: &CStr, flags: i32) -> bool {
    // SAFETY: the path is a text that ends, the mode is a number.
    worked(unsafe { syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) })
}

fn files(target: &Target) -> Vec<(&'static str, bool)> {
    let how = [u64::try_from(libc::O_RDONLY).unwrap_or(0), 0, 0];
    let of_parent = |file: &str| std::ffi::CString::new(format!("/proc/{}/{file}", target.parent)).unwrap_or_default();
    let (mut status, mut names) = ([0_u8; 512], [0_u8; 512]);
    // SAFETY: every pointer is to a text that ends or to a buffer of the length given beside it, and outlives the call.
    let calls = unsafe {
        [
            (
                "openat2",
                syscall(libc::SYS_openat2, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), how.as_ptr(), size_of_val(&how)),
            ),
            ("stat", syscall(libc::SYS_newfstatat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), status.as_mut_ptr(), 0)),
            (
                "readlink",
                syscall(libc::SYS_readlinkat, libc::AT_FDCWD, c"/proc/self/exe".as_ptr(), names.as_mut_ptr(), 512),
            ),
            ("mkdir", syscall(libc::SYS_mkdirat, libc::AT_FDCWD, c"/tmp/portcullis-probe".as_ptr(), 0o700)),
            ("unlink", syscall(libc::SYS_unlinkat, libc::AT_FDCWD, c"/tmp/portcullis-probe".as_ptr(), 0)),
            ("chdir", syscall(libc::SYS_chdir, c"/tmp".as_ptr())),
            ("chroot", syscall(libc::SYS_chroot, c"/tmp".as_ptr())),
            ("memfd", syscall(libc::SYS_memfd_create, c"probe".as_ptr(), 0)),
            ("ioctl", syscall(libc::SYS_ioctl, 0, libc::FIONREAD, status.as_mut_ptr())),
        ]
    };
    let mut all = vec![
        ("open a file to read", opens(c"/etc/passwd", libc::O_RDONLY)),
        ("open a file to write", opens(c"/tmp/portcullis-probe", libc::O_WRONLY | libc::O_CREAT)),
        ("open a directory", opens(c"/", libc::O_RDONLY | libc::O_DIRECTORY)),
        ("open its own memory", opens(c"/proc/self/mem", libc::O_RDWR)),
        ("open its own environment", opens(c"/proc/self/environ", libc::O_RDONLY)),
        ("open the parent's environment", opens(&of_parent("environ"), libc::O_RDONLY)),
        ("open the parent's memory", opens(&of_parent("mem"), libc::O_RDONLY)),
        ("open a device", opens(c"/dev/null", libc::O_RDWR)),
    ];
    all.extend(calls.map(|(name, answer)| (name, worked(answer))));
    all
}

fn network(target: &Target) -> Vec<(&'static str, bool)> {
    let loopback = libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or(0),
        sin_port: target.port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let address: *const libc::sockaddr_in = &raw const loopback;
    let length = size_of_val(&loopback);
    let mut pair = [0_i32; 2];
    // A message without content is enough for the kernel to look at who sends it.
    // SAFETY: all zero is a message header that points nowhere.
    let message: libc::msghdr = unsafe { std::mem::zeroed() };
    // SAFETY: the addresses and buffers are live and of the lengths given.
    let calls = unsafe {
        [
            ("socket inet", syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)),
            ("socket inet6", syscall(libc::SYS_socket, libc::AF_INET6, libc::SOCK_DGRAM, 0)),
            ("socket unix", syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)),
            ("socket netlink", syscall(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 0)),
            ("socket vsock", syscall(libc::SYS_socket, 40, libc::SOCK_STREAM, 0)),
            ("socketpair", syscall(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr())),
            ("connect", syscall(libc::SYS_connect, 0, address, length)),
            ("bind", syscall(libc::SYS_bind, 0, address, length)),
            ("listen", syscall(libc::SYS_listen, 0, 1)),
            ("accept", syscall(libc::SYS_accept4, 0, null_mut::<c_void>(), null_mut::<c_void>(), 0)),
            ("send to an address", syscall(libc::SYS_sendto, 0, c"x".as_ptr(), 1, libc::MSG_DONTWAIT, address, length)),
            ("send a message", syscall(libc::SYS_sendmsg, 0, &raw const message, libc::MSG_DONTWAIT)),
            ("duplicate a descriptor", syscall(libc::SYS_dup, 0)),
        ]
    };
    calls.map(|(name, answer)| (name, worked(answer))).into()
}

/// Tries to become more than one process. A child that comes into being ends at once.
fn processes() -> Vec<(&'static str, bool)> {
    let ends = |answer: c_long| {
        if answer == 0 {
            // SAFETY: the child only ends.
            unsafe { libc::_exit(0) };
        }
        worked(answer)
    };
    let nothing: [*const u8; 1] = [std::ptr::null()];
    let clone3 = {
        let mut how = [0_u64; 11];
        if let Some(signal) = how.get_mut(4) {
            *signal = u64::try_from(libc::SIGCHLD).unwrap_or(0);
        }
        how
    };
    let mut all = vec![
        // SAFETY: a copy of the process on the same stack contents; it ends at once.
        ("clone", ends(unsafe { syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })),
        // SAFETY: the structure is live and of the length given; the child ends at once.
        ("clone3", ends(unsafe { syscall(libc::SYS_clone3, clone3.as_ptr(), size_of_val(&clone3)) })),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: a copy of the process, which ends at once.
        all.push(("fork", ends(unsafe { syscall(libc::SYS_fork) })));
        // SAFETY: the child touches nothing of the parent's and ends at once.
        all.push(("vfork", ends(unsafe { syscall(libc::SYS_vfork) })));
    }
    // SAFETY: path and lists are live and end as they should; when a call works this process is gone, which the test sees as well.
    let calls = unsafe {
        [
            ("execve", syscall(libc::SYS_execve, c"/bin/true".as_ptr(), nothing.as_ptr(), nothing.as_ptr())),
            (
                "execveat",
                syscall(
                    libc::SYS_execveat,
                    libc::AT_FDCWD,
                    c"/bin/true".as_ptr(),
                    nothing.as_ptr(),
                    nothing.as_ptr(),
                    0,
                ),
            ),
        ]
    };
    all.extend(calls.map(|(name, answer)| (name, worked(answer))));
    all.push(("thread", std::thread::Builder::new().spawn(|| {}).is_ok()));
    all
}

fn parent(target: &Target) -> Vec<(&'static str, bool)> {
    let mut buffer = [0_u8; 128];
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: 8 };
    let remote = libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(usize::try_from(target.address).unwrap_or(0)),
        iov_len: 8,
    };
    let (local, remote) = (&raw const local, &raw const remote);
    let group = c_long::from(std::process::id());
    // SAFETY: the vectors describe a live buffer here and an address that only the kernel looks up.
    let calls = unsafe {
        [
            ("ptrace", syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, target.parent, 0, 0)),
            ("ptrace seize", syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, target.parent, 0, 0)),
            ("be traced", syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0)),
            ("read the parent's memory", syscall(libc::SYS_process_vm_readv, target.parent, local, 1, remote, 1, 0)),
            ("write the parent's memory", syscall(libc::SYS_process_vm_writev, target.parent, local, 1, remote, 1, 0)),
            ("signal the parent", syscall(libc::SYS_kill, target.parent, 0)),
            ("signal a thread of the parent", syscall(libc::SYS_tgkill, target.parent, target.parent, 0)),
            ("signal any thread", syscall(libc::SYS_tkill, target.parent, 0)),
            ("queue a signal", syscall(libc::SYS_rt_sigqueueinfo, target.parent, 0, buffer.as_ptr())),
            ("pidfd of the parent", syscall(libc::SYS_pidfd_open, target.parent, 0)),
            ("compare with the parent", syscall(libc::SYS_kcmp, target.parent, group, 0, 0, 0)),
            ("limits of the parent", syscall(libc::SYS_prlimit64, target.parent, 7, 0, buffer.as_mut_ptr())),
            ("wait", syscall(libc::SYS_wait4, -1, 0, libc::WNOHANG, 0)),
        ]
    };
    calls.map(|(name, answer)| (name, worked(answer))).into()
}

fn kernel() -> Vec<(&'static str, bool)> {
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let executable = libc::PROT_READ | libc::PROT_EXEC;
    let mut zeros = [0_u8; 256];
    // SAFETY: memory of its own, asked for anew.
    let page = unsafe { libc::mmap(null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, anonymous, -1, 0) };
    // SAFETY: buffers are live; addresses are the page's or chosen by the kernel.
    let calls = unsafe {
        [
            ("map executable memory", syscall(libc::SYS_mmap, 0, 4096, executable, anonymous, -1, 0)),
            ("map a descriptor", syscall(libc::SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_PRIVATE, 1, 0)),
            ("make memory executable", syscall(libc::SYS_mprotect, page, 4096, executable)),
            ("make memory executable by key", syscall(libc::SYS_pkey_mprotect, page, 4096, executable, -1)),
            ("personality", syscall(libc::SYS_personality, 0x0400_0000)),
            ("io_uring", syscall(libc::SYS_io_uring_setup, 1, zeros.as_mut_ptr())),
            ("bpf", syscall(libc::SYS_bpf, 0, zeros.as_mut_ptr(), 64)),
            ("perf events", syscall(libc::SYS_perf_event_open, zeros.as_mut_ptr(), 0, -1, -1, 0)),
            ("unshare", syscall(libc::SYS_unshare, libc::CLONE_NEWUSER)),
            ("setns", syscall(libc::SYS_setns, 0, 0)),
            ("mount", syscall(libc::SYS_mount, 0, c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, 0)),
            ("keys", syscall(libc::SYS_keyctl, 0, -3, 0)),
            ("add a key", syscall(libc::SYS_add_key, c"user".as_ptr(), c"x".as_ptr(), c"x".as_ptr(), 1, -3)),
            ("userfaultfd", syscall(libc::SYS_userfaultfd, 1)),
            ("be dumpable", syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)),
            ("outlive the parent", syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0)),
            ("another filter", syscall(libc::SYS_seccomp, 1, 0, zeros.as_mut_ptr())),
            ("become root", syscall(libc::SYS_setuid, 0)),
            ("set the clock", syscall(libc::SYS_clock_settime, 0, zeros.as_ptr())),
            ("load a module", syscall(libc::SYS_finit_module, 0, c"".as_ptr(), 0)),
            ("reboot", syscall(libc::SYS_reboot, 0, 0, 0, 0)),
            ("shared memory", syscall(libc::SYS_shmget, 0, 4096, 0o1600)),
            ("timer", syscall(libc::SYS_setitimer, 0, zeros.as_ptr(), 0)),
        ]
    };
    calls.map(|(name, answer)| (name, worked(answer))).into()
}
