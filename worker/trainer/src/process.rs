//! What this process asks of its operating system.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_sigterm(_signal: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Lets SIGTERM raise the flag that [`stop_requested`] reads.
#[expect(
    unsafe_code,
    reason = "signal handlers have no safe interface; this one stores to an atomic, which is \
              async-signal-safe"
)]
pub(crate) fn catch_sigterm() {
    let handler = on_sigterm as extern "C" fn(libc::c_int);
    unsafe {
        libc::signal(libc::SIGTERM, handler as libc::sighandler_t);
    }
}

/// Whether SIGTERM came.
pub(crate) fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Makes the allocator keep freed memory.
///
/// A training step frees and allocates the same activations over and over.
/// glibc gives blocks of that size back to the kernel at once, and every step
/// then pays for their page faults again: a fifth of a step at batch 128, half
/// of it at 1024.
#[expect(unsafe_code, reason = "mallopt has no safe interface")]
pub(crate) fn keep_freed_memory() {
    // The largest threshold that glibc accepts for `M_MMAP_THRESHOLD` is half
    // a heap, 32 MiB on 64 bits; no blocks by mmap switches it off altogether.
    // -1 is the largest threshold of trimming: never.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
