//! The system calls a worker may make: a seccomp allow-list.
//!
//! What is not listed answers `EPERM` instead of killing the process: the C library probes the kernel here and there and lives well with a refusal,
//! and a worker that tries more stays what it was, watched by its supervisor and without anything to try it on.
//!
//! The list is what reading and writing open descriptors, memory without executable pages, locks, clocks, random numbers, signals to itself
//! and ending need. Nothing on it opens, connects, starts, waits for, or looks at anything.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Calls that are harmless whatever their arguments.
const PLAIN: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    POLL,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The call behind `poll`, which not every machine has.
#[cfg(target_arch = "x86_64")]
const POLL: libc::c_long = libc::SYS_poll;
#[cfg(not(target_arch = "x86_64"))]
const POLL: libc::c_long = libc::SYS_ppoll;

/// Puts the filter on every thread of the process; false when this kernel or machine has none.
pub(super) fn apply() -> bool {
    program().is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok())
}

fn program() -> Option<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = PLAIN.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend(bounded_calls()?);
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).ok()?);
    let machine = TargetArch::try_from(ARCH).ok()?;
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, machine).ok()?.try_into().ok()
}

/// Calls that are allowed with some arguments only.
fn bounded_calls() -> Option<Vec<(i64, Vec<SeccompRule>)>> {
    let no_code = |argument| without(argument, libc::PROT_EXEC);
    Some(vec![
        (libc::SYS_mmap, vec![all([no_code(2)?, with(3, libc::MAP_ANONYMOUS)?])?]),
        (libc::SYS_mprotect, vec![all([no_code(2)?])?]),
        // `abort` signals its own thread.
        (libc::SYS_tgkill, vec![all([equal(0, SeccompCmpArgLen::Dword, u64::from(std::process::id()))?])?]),
    ])
}

fn all<const N: usize>(conditions: [SeccompCondition; N]) -> Option<SeccompRule> {
    SeccompRule::new(conditions.into()).ok()
}

fn equal(argument: u8, length: SeccompCmpArgLen, value: u64) -> Option<SeccompCondition> {
    SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value).ok()
}

fn without(argument: u8, flag: i32) -> Option<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits(flag)?), 0).ok()
}

fn with(argument: u8, flag: i32) -> Option<SeccompCondition> {
    let flag = bits(flag)?;
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag).ok()
}

fn bits(flag: i32) -> Option<u64> {
    u64::try_from(flag).ok()
}
