//! What this process asks of the operating system.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_sigterm(_signal: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Makes SIGTERM raise the flag that [`stop_requested`] reads.
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

/// Whether SIGTERM has come.
pub(crate) fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Makes the allocator keep freed memory, and take it in huge pages.
///
/// A training step frees and allocates the same activations over and over.
/// glibc gives blocks of that size back to the kernel at once, and every step
/// then pays for their page faults again: at batch 1024, a third of a step.
/// Huge pages save a tenth of every step, which would go to address
/// translation.
#[expect(
    unsafe_code,
    reason = "neither mallopt nor libtorch's allocator has a safe interface"
)]
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
    #[cfg(target_env = "gnu")]
    reserve_huge_pages();
    // Freed tensors then leave holes, which the next ones must fit into.
    let fits = unsafe { swath_plain_memory() };
    debug_assert!(fits, "tensors are made in libtorch's blocks");
}

#[expect(
    unsafe_code,
    reason = "libtorch's allocator is set in C++ (`cpp/memory.cpp`)"
)]
unsafe extern "C" {
    fn swath_plain_memory() -> bool;
}

/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// The smallest heap that is worth reserving, in bytes.
const RESERVED_MIN: usize = 256 << 20;

/// The memory of this machine in bytes.
#[expect(
    unsafe_code,
    reason = "sysconf has no safe interface; it only returns numbers"
)]
pub(crate) fn memory() -> u64 {
    let (pages, page) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let of = |number| u64::try_from(number).unwrap_or(0);
    of(pages).saturating_mul(of(page))
}

/// Grows the heap by up to half of the machine's memory and asks for huge pages
/// in it. Only addresses are reserved: a page is allocated when it is first
/// touched. Later blocks are cut from this heap; those beyond it get ordinary
/// pages.
#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "the allocator's heap can only be reached through malloc and madvise; the block is \
              freed here and never read or written"
)]
fn reserve_huge_pages() {
    let mut size = usize::try_from(memory()).unwrap_or(0) / 2;
    // A limit on addresses must leave room for threads and libraries.
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    if known && limit.rlim_cur != libc::RLIM_INFINITY {
        size = size.min(limit.rlim_cur as usize / 4);
    }
    while size >= RESERVED_MIN {
        let block = unsafe { libc::malloc(size) };
        if block.is_null() {
            size /= 2;
            continue;
        }
        let skipped = block.align_offset(HUGE_PAGE);
        // A kernel without huge pages refuses; the heap then works with
        // ordinary pages.
        unsafe {
            libc::madvise(
                block.cast::<u8>().add(skipped).cast(),
                size - skipped,
                libc::MADV_HUGEPAGE,
            );
            libc::free(block);
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn a_tensor_takes_the_hole_of_one_of_its_size() {
        keep_freed_memory();
        let block = || Tensor::zeros([8 << 20], (Kind::Uint8, Device::Cpu));
        let tensors: Vec<Tensor> = (0..3).map(|_| block()).collect();
        let hole = tensors[1].data_ptr();
        assert!(
            tensors
                .iter()
                .all(|one| one.data_ptr().align_offset(64) == 0),
            "aligned"
        );
        let [_first, second, _third]: [Tensor; 3] = tensors.try_into().unwrap();
        drop(second);
        assert_eq!(block().data_ptr(), hole);
    }
}
