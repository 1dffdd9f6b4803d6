//! What the allocator of the C library does with memory that is freed.

use std::sync::Mutex;

/// While one of these lives, freed memory stays with the process, and more is asked for by 64 MiB: work that frees and asks
/// for the same sizes step after step does not go to the system each time. Where the library is not glibc nothing changes.
#[derive(Debug)]
pub struct KeepFreed(());

/// How many live.
static ALIVE: Mutex<usize> = Mutex::new(0);

impl KeepFreed {
    /// From now on.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let mut alive = ALIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *alive += 1;
        if *alive == 1 {
            set([32 << 20, 1 << 30, 64 << 20]);
        }
        Self(())
    }
}

impl Drop for KeepFreed {
    fn drop(&mut self) {
        let mut alive = ALIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *alive -= 1;
        if *alive == 0 {
            // Where the library itself comes to when large pieces are freed.
            set([32 << 20, 64 << 20, 128 << 10]);
            trim();
        }
    }
}

/// From now on threads share at most so many parts of memory, in which the C library would else give each its own, up to
/// eight a core: what one thread frees, another then finds, and a service that runs for long does not keep a hole for each.
/// To be called before threads are started. Where the library is not glibc nothing changes.
pub fn parts_max(n: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_one(libc::M_ARENA_MAX, i32::try_from(n.max(1)).unwrap_or(i32::MAX));
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = n;
}

/// An empty vector with room for so many, in large pages where the system grants them: what is read here and there from many
/// megabytes then waits less for addresses.
pub fn in_large_pages<T>(capacity: usize) -> Vec<T> {
    let values = Vec::with_capacity(capacity);
    advise(values.as_ptr() as usize, capacity.saturating_mul(size_of::<T>()));
    values
}

#[cfg(target_os = "linux")]
fn advise(address: usize, bytes: usize) {
    const LARGE: usize = 2 << 20;
    let (from, to) = (address.next_multiple_of(LARGE), (address + bytes) / LARGE * LARGE);
    if to > from {
        #[expect(unsafe_code, reason = "a call into the C library")]
        // SAFETY: the range lies within a living allocation, and the advice changes nothing that can be seen.
        unsafe {
            libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: usize, _: usize) {}

/// Says that these numbers will be read soon.
#[inline]
pub fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "the hint takes a pointer")]
        // SAFETY: a hint reads nothing, and every x86-64 has it.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// From how many bytes on a piece is mapped by itself, above how many free ones at the end some go back, and by how many
/// more is asked for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set([mapped, kept, more]: [i32; 3]) {
    for (option, value) in
        [(libc::M_MMAP_THRESHOLD, mapped), (libc::M_TRIM_THRESHOLD, kept), (libc::M_TOP_PAD, more)]
    {
        set_one(option, value);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_one(option: i32, value: i32) {
    #[expect(unsafe_code, reason = "a call into the C library")]
    // SAFETY: any thread may call it at any time; a value that it does not take changes nothing.
    unsafe {
        libc::mallopt(option, value);
    }
}

/// Gives back what is free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[expect(unsafe_code, reason = "a call into the C library")]
    // SAFETY: any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: [i32; 3]) {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_can_be_had_while_it_is_kept_and_after() {
        let alive = || *ALIVE.lock().unwrap();
        let (one, other) = (KeepFreed::new(), KeepFreed::new());
        assert_eq!(alive(), 2);
        drop(one);
        assert_eq!(alive(), 1, "kept until the last is dropped");
        assert_eq!(vec![7u8; 50 << 20].iter().map(|&x| u64::from(x)).sum::<u64>(), 7 * (50 << 20));
        drop(other);
        assert_eq!(alive(), 0);
        assert_eq!(vec![1u8; 1 << 20].len(), 1 << 20);
    }
}
