//! The global allocator: jemalloc, with every usable byte counted.
//!
//! `used_memory` and eviction are decided by one number: the usable bytes of all live blocks. It is kept without asking
//! jemalloc anything. With a quantum of 8 bytes the usable size of a block is a plain function of the size asked for
//! ([`usable_size`], four classes per doubling), so a block is counted by arithmetic alone, on both ends of its life,
//! and a `realloc` within one class does not even call the allocator.
//!
//! Each thread adds to a counter of its own and folds it into the global one whenever it has moved by
//! [`FOLD_BYTES`]; so the global number is off by at most that much per running thread, and a thread that ends folds
//! what it has. The counter of the asking thread is added on top: a single thread sees its own number to the byte.
//!
//! The build gives jemalloc an 8-byte quantum (`.cargo/config.toml`): entries of 33 to 40 bytes then cost 40 and not
//! 48. jemalloc's own Rust crate assumes a quantum of 16 and leaves alignments up to 16 out of its calls; here every
//! alignment above the quantum is passed on.
//!
//! # Huge pages
//! A look-up by a random key reads two lines somewhere in all of memory, and with pages of 4 KiB each of them first costs
//! a walk through the page tables, which no prefetch hides. So jemalloc is told to ask for huge pages ([`OPTIONS`]),
//! where the system allows that (`madvise` or `always` in `/sys/kernel/mm/transparent_hugepage/enabled`). Nothing here
//! forks, so there is no copy-on-write that huge pages could make dear. They come only where 2 MiB in one piece are
//! asked for before any of it is touched; jemalloc grows in small steps at first, so each worker's arena begins with a
//! stretch of address space ([`settle_arena`]).
//!
//! Allowed `unsafe`: an allocator is calls to C by nature.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// jemalloc's quantum in bytes, fixed by the build.
pub const QUANTUM: usize = 8;

/// A thread's own counter is folded into the global one when it has moved by this many bytes.
pub const FOLD_BYTES: isize = 4096;

/// The bytes a block of `size` bytes (alignment up to 8) takes: 8, 16, .. 64, 80, 96, 112, 128, 160 .. .
#[inline]
pub const fn usable_size(size: usize) -> usize {
    if size <= 64 {
        return if size == 0 { QUANTUM } else { (size + 7) & !7 };
    }
    let doubling = usize::BITS - 1 - (size - 1).leading_zeros();
    let step = 1usize << (doubling - 2);
    (size + step - 1) & !(step - 1)
}

/// jemalloc's smallest class that is made of whole pages.
const LARGE_MIN: usize = 16 * 1024;
const PAGE: usize = 4096;

/// The bytes a block of this layout takes. Small blocks are aligned by rounding their size up to the alignment; blocks
/// of whole pages are aligned by where they are put.
#[inline]
const fn usable(layout: Layout) -> usize {
    let (size, align) = (layout.size(), layout.align());
    if align <= QUANTUM {
        return usable_size(size);
    }
    if align <= PAGE && size < LARGE_MIN {
        let small = usable_size((size + align - 1) & !(align - 1));
        return if small < LARGE_MIN { small } else { LARGE_MIN };
    }
    let large = usable_size(size);
    if large < LARGE_MIN { LARGE_MIN } else { large }
}

/// What jemalloc reads when it starts. Blocks of up to [`ARENA_BYTES`] come from the arena of their thread, or the first
/// stretch would not belong to it.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 40] = b"thp:always,oversize_threshold:134217728\0";

/// Address space that an arena begins with.
const ARENA_BYTES: usize = 64 << 20;

/// Gives the arena of the calling thread its first stretch of address space; no memory is used for that.
pub fn settle_arena() {
    // SAFETY: the block is given back with the size it was asked for with; nothing is read or written in it.
    unsafe {
        let stretch = tikv_jemalloc_sys::mallocx(ARENA_BYTES, 0);
        if !stretch.is_null() {
            tikv_jemalloc_sys::sdallocx(stretch, ARENA_BYTES, 0);
        }
    }
}

static GLOBAL: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// One thread's share. `fold_at` is 0 before the first fold and again once the thread is ending, so that every block
/// then goes straight to the global number.
struct Local {
    delta: Cell<isize>,
    fold_at: Cell<isize>,
}

/// Folds the rest when its thread ends.
struct FoldAtExit;

impl Drop for FoldAtExit {
    fn drop(&mut self) {
        let _ = LOCAL.try_with(|local| {
            local.fold_at.set(0);
            fold(local.delta.replace(0));
        });
    }
}

thread_local! {
    static LOCAL: Local = const { Local { delta: Cell::new(0), fold_at: Cell::new(0) } };
    static AT_EXIT: FoldAtExit = const { FoldAtExit };
}

#[inline]
fn count(bytes: isize) {
    // `LOCAL` needs no destructor, so it is there for the whole life of the thread.
    let _ = LOCAL.try_with(|local| {
        let delta = local.delta.get() + bytes;
        local.delta.set(delta);
        if delta.abs() > local.fold_at.get() {
            fold_local(local);
        }
    });
}

#[cold]
fn fold_local(local: &Local) {
    fold(local.delta.replace(0));
    if local.fold_at.get() == 0 {
        // Set before the destructor is registered: registering may allocate. It fails once the thread is ending.
        local.fold_at.set(FOLD_BYTES);
        if AT_EXIT.try_with(|_| ()).is_err() {
            local.fold_at.set(0);
        }
    }
}

fn fold(bytes: isize) {
    let now = GLOBAL.fetch_add(bytes, Relaxed) + bytes;
    if now > PEAK.load(Relaxed) {
        PEAK.fetch_max(now, Relaxed);
    }
}

/// Folds the share of this thread: [`used_memory`] is the same on all threads now, until they allocate.
pub fn settle() {
    let _ = LOCAL.try_with(|local| fold(local.delta.replace(0)));
}

/// Usable bytes of all live blocks, exact but for at most [`FOLD_BYTES`] per other running thread.
#[inline]
pub fn used_memory() -> usize {
    let own = LOCAL.try_with(|local| local.delta.get()).unwrap_or(0);
    (GLOBAL.load(Relaxed) + own).max(0) as usize
}

/// The highest [`used_memory`] seen so far.
pub fn used_memory_peak() -> usize {
    PEAK.fetch_max(used_memory() as isize, Relaxed).max(used_memory() as isize) as usize
}

/// jemalloc, counted.
pub struct CountingJemalloc;

/// What jemalloc is asked for: a size and flags. Small blocks of one class stand in a row that begins at a page, so a size
/// that is a multiple of the alignment brings it by itself; what needs no flags takes jemalloc's short ways.
#[inline]
const fn asked(layout: Layout) -> (usize, i32) {
    let (size, align) = (layout.size(), layout.align());
    let whole = (size + align - 1) & !(align - 1);
    if align <= QUANTUM {
        (size, 0)
    } else if align <= PAGE && usable_size(whole) < LARGE_MIN {
        (whole, 0)
    } else {
        (size, align.trailing_zeros() as i32)
    }
}

// SAFETY: every call passes on the layout it was given; blocks of jemalloc are aligned to 8 bytes (the quantum, held by
// a test) and to what `asked` asks for beyond. The functions do not unwind. `realloc` leaves a block where it is only
// when the old and the new size have the same class, in which `sdallocx` accepts either size.
unsafe impl GlobalAlloc for CountingJemalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, flags) = asked(layout);
        // SAFETY: the size of a layout is not zero here by the contract of GlobalAlloc.
        let block = unsafe {
            if flags == 0 { tikv_jemalloc_sys::malloc(size) } else { tikv_jemalloc_sys::mallocx(size, flags) }
        };
        if !block.is_null() {
            count(usable(layout) as isize);
        }
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, flags) = asked(layout);
        // SAFETY: as in `alloc`.
        let block = unsafe { tikv_jemalloc_sys::mallocx(size, flags | tikv_jemalloc_sys::MALLOCX_ZERO) };
        if !block.is_null() {
            count(usable(layout) as isize);
        }
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(usable(layout) as isize));
        let (size, flags) = asked(layout);
        // SAFETY: the block came from one of the other functions, which have asked for a size of the same class.
        unsafe { tikv_jemalloc_sys::sdallocx(block.cast(), size, flags) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller holds `new_size` to the rules of a layout with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let (before, after) = (usable(layout), usable(new));
        if before == after {
            return block;
        }
        let (size, flags) = asked(new);
        // SAFETY: the block came from one of the other functions, and the size is not zero.
        let moved = unsafe { tikv_jemalloc_sys::rallocx(block.cast(), size, flags) };
        if !moved.is_null() {
            count(after as isize - before as isize);
        }
        moved.cast()
    }
}

/// What jemalloc itself says, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in live blocks.
    pub allocated: usize,
    /// Bytes in pages with live blocks.
    pub active: usize,
    /// Bytes of physical memory.
    pub resident: usize,
    /// Bytes of address space kept for later without memory behind it.
    pub retained: usize,
    /// Bytes of jemalloc's own bookkeeping.
    pub metadata: usize,
    /// Bytes in mapped extents.
    pub mapped: usize,
}

/// Asks jemalloc for its statistics as of now. Takes some microseconds: not for every command.
pub fn stats() -> Stats {
    let mut epoch: u64 = 1;
    let mut size = size_of::<u64>();
    // SAFETY: "epoch" reads and writes a u64; both pointers are valid for `size` bytes.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            c"epoch".as_ptr(),
            (&raw mut epoch).cast(),
            &raw mut size,
            (&raw mut epoch).cast(),
            size_of::<u64>(),
        );
    }
    Stats {
        allocated: read_size(c"stats.allocated"),
        active: read_size(c"stats.active"),
        resident: read_size(c"stats.resident"),
        retained: read_size(c"stats.retained"),
        metadata: read_size(c"stats.metadata"),
        mapped: read_size(c"stats.mapped"),
    }
}

/// A statistic of type `size_t`; 0 when this build of jemalloc does not keep it.
fn read_size(name: &std::ffi::CStr) -> usize {
    let mut value: usize = 0;
    let mut size = size_of::<usize>();
    // SAFETY: `value` is valid for `size` bytes; jemalloc checks the size against the type of the name.
    let error = unsafe {
        tikv_jemalloc_sys::mallctl(name.as_ptr(), (&raw mut value).cast(), &raw mut size, std::ptr::null_mut(), 0)
    };
    if error == 0 { value } else { 0 }
}

/// Gives unused dirty pages of all arenas back to the system (`MEMORY PURGE`); false when jemalloc refuses.
pub fn purge() -> bool {
    // "arena.4096.purge" is MALLCTL_ARENAS_ALL: every arena.
    // SAFETY: the name takes and gives nothing.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            c"arena.4096.purge".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        ) == 0
    }
}

/// jemalloc's whole report on itself, as text (`MEMORY MALLOC-STATS`).
pub fn report() -> Vec<u8> {
    /// Takes one piece of the report.
    unsafe extern "C" fn append(report: *mut std::ffi::c_void, piece: *const std::ffi::c_char) {
        // SAFETY: jemalloc passes on the pointer it was given below, to a vector that nobody else uses meanwhile, and a
        // NUL-terminated piece.
        unsafe { (*report.cast::<Vec<u8>>()).extend_from_slice(std::ffi::CStr::from_ptr(piece).to_bytes()) }
    }
    let mut report: Vec<u8> = Vec::new();
    // SAFETY: `append` matches the type of the callback, and `report` outlives the call; no options.
    unsafe {
        tikv_jemalloc_sys::malloc_stats_print(Some(append), (&raw mut report).cast(), std::ptr::null());
    }
    report
}

/// The allocator's name and version as `mem_allocator` of INFO shows it.
pub fn version() -> String {
    let mut text: *const std::ffi::c_char = std::ptr::null();
    let mut size = size_of::<*const std::ffi::c_char>();
    // SAFETY: "version" reads a pointer to a static C string.
    let version = unsafe {
        let error = tikv_jemalloc_sys::mallctl(
            c"version".as_ptr(),
            (&raw mut text).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        );
        if error != 0 || text.is_null() { c"" } else { std::ffi::CStr::from_ptr(text) }
    };
    let version = version.to_string_lossy();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn nallocx(size: usize, flags: i32) -> usize {
        // SAFETY: a pure function of its arguments.
        unsafe { tikv_jemalloc_sys::nallocx(size, flags) }
    }

    #[test]
    fn the_build_kept_the_quantum_of_eight() {
        assert_eq!(nallocx(40, 0), 40);
        assert_eq!(nallocx(1, 0), 8);
    }

    #[test]
    fn usable_sizes_are_those_of_jemalloc() {
        let mut sizes: Vec<usize> = (1..70_000).collect();
        for shift in 16..34 {
            for near in [-1isize, 0, 1] {
                sizes.extend((4..8).map(|q| ((q << shift) / 4usize).wrapping_add_signed(near)));
            }
        }
        for size in sizes {
            assert_eq!(usable_size(size), nallocx(size, 0), "size {size}");
            for lg in 4..8 {
                let layout = Layout::from_size_align(size, 1 << lg).unwrap();
                assert_eq!(usable(layout), nallocx(size, lg), "size {size} align {}", 1 << lg);
                let (size, flags) = asked(layout);
                assert_eq!(usable(layout), nallocx(size, flags), "size {size} align {}, as asked", 1 << lg);
            }
        }
    }

    #[test]
    fn blocks_have_the_alignment_asked_for() {
        let sizes = (1..=256).chain((1..80).map(|step| step * 256 + 8));
        for align in [8usize, 16, 32, 64, 128, 4096, 8192] {
            for size in sizes.clone() {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: each block is given back with its own layout.
                unsafe {
                    let blocks: Vec<_> = (0..4).map(|_| std::alloc::alloc(layout)).collect();
                    assert!(blocks.iter().all(|b| b.addr() % align == 0), "size {size} align {align}");
                    blocks.into_iter().for_each(|b| std::alloc::dealloc(b, layout));
                }
            }
        }
    }

    #[test]
    fn used_memory_follows_big_blocks_of_any_thread() {
        const MIB: usize = 1 << 20;
        let before = used_memory();
        let block = std::thread::spawn(|| vec![0u8; 64 * MIB]).join().unwrap();
        assert!(used_memory() >= before + 60 * MIB, "other tests move it by far less");
        assert!(used_memory_peak() >= before + 60 * MIB);
        drop(block);
        assert!(used_memory() < before + 60 * MIB);
    }

    #[test]
    fn a_thread_sees_its_own_blocks_to_the_byte() {
        let own = || LOCAL.with(|l| l.delta.get());
        let before = own();
        let block = std::hint::black_box(Box::new([0u8; 33]));
        let counted = own() - before;
        assert!(counted == 40 || own() == 0, "a fold may fall in between");
        drop(block);
    }

    #[test]
    fn jemalloc_has_read_its_options() {
        assert_eq!(read_size(c"opt.oversize_threshold"), 128 << 20);
        let before = used_memory_peak();
        settle_arena();
        assert!(used_memory_peak() < before + ARENA_BYTES, "nothing is used by it");
    }

    #[test]
    fn jemalloc_answers() {
        let stats = stats();
        assert!(stats.allocated > 0 && stats.active >= stats.allocated && stats.resident > 0, "{stats:?}");
        assert!(purge());
        assert!(version().starts_with("jemalloc-5"), "{}", version());
    }
}
