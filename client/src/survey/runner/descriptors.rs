//! Keeps descriptors that this process inherited from the programs it starts.
//!
//! The only module of the client with `unsafe` code: what was inherited is known by number only.

#![expect(unsafe_code, reason = "inherited descriptors are known by number only")]

use std::{
    fs,
    os::fd::{BorrowedFd, RawFd},
};

use rustix::io::{FdFlags, fcntl_setfd};

/// Marks every descriptor but the standard three to be closed when a program is started.
pub(super) fn keep_from_programs() {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let listed: Vec<RawFd> = fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(number).collect())
        .unwrap_or_else(|_| (3..1024).collect());
    for descriptor in listed.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: the descriptor is only marked, not closed or read; one that is not open, such as the listing's own,
        // answers with an error.
        let _ = fcntl_setfd(unsafe { BorrowedFd::borrow_raw(descriptor) }, FdFlags::CLOEXEC);
    }
}
