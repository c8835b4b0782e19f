//! What a worker gives up before it sees a script, and the allocator that counts what a script takes.
//!
//! The only module with `unsafe` code: descriptors that were inherited can only be closed by number, and an allocator is unsafe by nature.
//! Layers that a kernel lacks are reported, not hidden; [`drop_privileges`] and [`confine`] are the two places where they are put on.
//!
//! INVARIANT: a layer only ever takes away, and every layer is put on before the first byte from the supervisor is read.

#![expect(unsafe_code, reason = "closing inherited descriptors by number; a global allocator")]

mod filter;
mod ruleset;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicIsize, Ordering};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::Pipes;
use crate::wire::FromWorker;

/// Bits by which a worker reports the layers in force.
pub(crate) mod layer {
    /// No program the worker could run would gain rights.
    pub(crate) const NO_NEW_PRIVS: u32 = 1;
    /// Limits on memory, files, processes, core dumps.
    pub(crate) const RLIMITS: u32 = 1 << 1;
    /// The kernel kills the worker when its supervisor ends.
    pub(crate) const PARENT_DEATH: u32 = 1 << 2;
    /// No other process of the same user may look inside.
    pub(crate) const NOT_DUMPABLE: u32 = 1 << 3;
    /// Memory is counted, so that its cap ends a run cleanly.
    pub(crate) const MEMORY_COUNTED: u32 = 1 << 4;
    /// Even as root the worker has none of root's rights.
    pub(crate) const NO_CAPABILITIES: u32 = 1 << 5;
    /// System calls beyond a short list are refused.
    pub(crate) const SECCOMP: u32 = 1 << 6;
    /// No file or directory can be opened, made or removed.
    pub(crate) const LANDLOCK: u32 = 1 << 7;
    /// No TCP port can be bound or connected to.
    pub(crate) const LANDLOCK_NET: u32 = 1 << 8;
    /// No signal and no abstract socket reaches another process.
    pub(crate) const LANDLOCK_SCOPE: u32 = 1 << 9;
}

/// Address space: the stack, the memory cap, the program and what the C library reserves.
const ADDRESS_SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// Backstop for processor time, in seconds; the supervisor replaces a worker long before.
const CPU_SECONDS: u64 = 3600;
/// Longest file it could write, in bytes: the memory in which it notes how far it got is one to the kernel.
const FILE_SIZE: u64 = 4096;
/// Descriptors: the socket twice and the standard streams.
const DESCRIPTORS: u64 = 8;

/// Closes every descriptor but the standard three. Call before anything else is open or any thread runs.
pub(super) fn close_inherited() {
    let listed: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_else(|_| (3..1024).collect());
    for descriptor in listed.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: the descriptor is only asked about; one that is not open, such as the listing's own, answers with an error.
        let is_open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(descriptor) }).is_ok();
        if is_open {
            // SAFETY: nothing in this process owns the descriptor: no thread but this one runs and nothing was opened yet.
            unsafe { rustix::io::close(descriptor) };
        }
    }
}

/// Number of the descriptor that takes the answers, for a place that must not allocate.
static ANSWERS: AtomicI32 = AtomicI32::new(-1);

/// The pipes that came as standard input and standard error.
///
/// What the C library or a panic prints must not get between the answers: standard error becomes a descriptor that cannot be written to.
pub(super) fn take_pipes() -> io::Result<Pipes> {
    let requests = io::stdin().as_fd().try_clone_to_owned()?;
    let answers = io::stderr().as_fd().try_clone_to_owned()?;
    ANSWERS.store(answers.as_raw_fd(), Ordering::Relaxed);
    rustix::stdio::dup2_stderr(&requests)?;
    Ok(Pipes { requests: requests.into(), answers: answers.into() })
}

/// Gives up rights for this thread and those it starts; answers the layers that took hold.
pub(super) fn drop_privileges() -> u32 {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let mut layers = 0;
    if rustix::thread::set_no_new_privs(true).is_ok() {
        layers |= layer::NO_NEW_PRIVS;
    }
    if rustix::thread::set_capabilities(None, none).is_ok() {
        layers |= layer::NO_CAPABILITIES;
    }
    layers | ruleset::apply()
}

/// Gives up what a worker does not need; answers the layers that took hold. Runs on the evaluating thread, once its stack exists,
/// because the filter of system calls, which comes last, lets nobody start a thread or name a limit.
pub(super) fn confine(privileges: u32) -> u32 {
    let mut layers = privileges;
    let mut note = |bit: u32, done: bool| layers |= if done { bit } else { 0 };
    note(layer::PARENT_DEATH, set_parent_process_death_signal(Some(Signal::KILL)).is_ok());
    note(layer::NOT_DUMPABLE, set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok());
    note(layer::RLIMITS, limit_resources());
    note(layer::MEMORY_COUNTED, is_counting());
    note(layer::SECCOMP, filter::apply());
    layers
}

fn limit_resources() -> bool {
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, FILE_SIZE),
        (Resource::Nproc, 0),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Memlock, 0),
        (Resource::As, ADDRESS_SPACE),
        (Resource::Cpu, CPU_SECONDS),
    ];
    // Every limit is tried, also after one failed.
    limits.into_iter().fold(true, |all, (resource, value)| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).is_ok() && all
    })
}

static ARMED: AtomicBool = AtomicBool::new(false);
/// The cap in force, in bytes.
static CAP: AtomicIsize = AtomicIsize::new(isize::MAX / 2);
/// What is left of it. INVARIANT: the cap less what was allocated since the worker was first armed.
static ROOM: AtomicIsize = AtomicIsize::new(isize::MAX / 2);

/// From here on the worker may allocate at most `cap` bytes beyond what it held when first armed.
pub(super) fn arm_memory_cap(cap: u64) {
    let cap = isize::try_from(cap).unwrap_or(isize::MAX / 2).min(isize::MAX / 2);
    let before = CAP.swap(cap, Ordering::Relaxed);
    ROOM.store(ROOM.load(Ordering::Relaxed).wrapping_add(cap.wrapping_sub(before)), Ordering::Relaxed);
    ARMED.store(true, Ordering::Relaxed);
}

/// Whether so much stays allocated between runs that an innocent one could hit the cap.
pub(super) fn over_soft_cap(cap: u64) -> bool {
    let used = || {
        let used = CAP.load(Ordering::Relaxed).wrapping_sub(ROOM.load(Ordering::Relaxed));
        u64::try_from(used).unwrap_or(0)
    };
    if used() <= cap / 4 {
        return false;
    }
    boa_gc::force_collect();
    used() > cap / 4
}

fn is_counting() -> bool {
    ARMED.store(true, Ordering::Relaxed);
    let before = ROOM.load(Ordering::Relaxed);
    let probe = std::hint::black_box(vec![0_u8; 4096]);
    let counted = ROOM.load(Ordering::Relaxed) != before;
    drop(probe);
    ARMED.store(false, Ordering::Relaxed);
    counted
}

/// The allocator of a binary that can be a worker: `#[global_allocator] static ALLOCATOR: sandbox::WorkerAllocator = sandbox::WorkerAllocator;`.
///
/// It hands everything to the system's. In a worker it counts, and at the cap it tells the supervisor and ends the process:
/// unwinding out of an allocator is not possible, and a script must not get the chance to go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerAllocator;

impl WorkerAllocator {
    /// Counts a change of so many bytes.
    ///
    /// Only the evaluating thread allocates, so a load and a store count as well as one locked instruction and cost less;
    /// a context takes some ten thousand allocations.
    #[inline]
    fn count(taken: usize, given: usize) {
        if ARMED.load(Ordering::Relaxed) {
            let room = ROOM.load(Ordering::Relaxed).wrapping_sub_unsigned(taken).wrapping_add_unsigned(given);
            ROOM.store(room, Ordering::Relaxed);
            if room < 0 && taken > given {
                exhausted();
            }
        }
    }

    #[inline]
    fn checked(pointer: *mut u8) -> *mut u8 {
        if pointer.is_null() && ARMED.load(Ordering::Relaxed) {
            exhausted();
        }
        pointer
    }
}

// SAFETY: every method passes its arguments unchanged to the system allocator, which keeps the contract, and returns what it returned;
// counting touches only atomics and never allocates or unwinds.
unsafe impl GlobalAlloc for WorkerAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        Self::checked(unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same one.
        Self::checked(unsafe { System.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(0, layout.size());
        // SAFETY: `pointer` came from this allocator, and so from the system's, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size, layout.size());
        // SAFETY: `pointer` came from this allocator, and so from the system's, with this layout; the caller vouches for `size`.
        Self::checked(unsafe { System.realloc(pointer, layout, size) })
    }
}

/// Tells the supervisor that memory ran out and ends the process without allocating.
#[cold]
fn exhausted() -> ! {
    ARMED.store(false, Ordering::Relaxed);
    let answers = ANSWERS.load(Ordering::Relaxed);
    if answers >= 0 {
        // SAFETY: the descriptor is the worker's pipe for answers, which is never closed while a script can allocate.
        let answers = unsafe { BorrowedFd::borrow_raw(answers) };
        // A supervisor that cannot be told sees the process end, which is a failure as well.
        let _ = rustix::io::write(answers, &FromWorker::OUT_OF_MEMORY_FRAME);
    }
    std::process::abort()
}
