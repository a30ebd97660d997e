//! Asking the processor for an entry before it is needed: a pipeline's requests look for their keys together.

use super::Entry;
use crate::types::ValueRef;

impl Entry {
    /// Asks the processor to fetch the beginning of the block.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }

    /// Asks for two lines of the block: header, key and what a small value takes.
    #[inline]
    pub fn prefetch_value(&self) {
        prefetch(self.0.as_ptr());
        prefetch(self.0.as_ptr().wrapping_add(64));
    }

    /// Asks for what hangs off the block of a collection: all of a small one, the root of a big one.
    #[inline]
    pub fn prefetch_collection(&self) {
        let address = if self.is_packed() { Some(self.text_start().cast_const()) } else { self.value().address() };
        if let Some(address) = address {
            (0..4).for_each(|line| prefetch(address.wrapping_add(64 * line)));
        }
    }

    /// Asks for what adding to a stream looks at, when its root has had time to come.
    #[inline]
    pub fn prefetch_end(&self) {
        if let ValueRef::Stream(stream) = self.value() {
            stream.end_addresses().into_iter().flatten().for_each(prefetch);
        }
    }
}

/// Asks the processor to fetch a line into its caches; does nothing where that cannot be said.
#[inline]
pub(in crate::keyspace) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address is allowed and has no effect but on time.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}
