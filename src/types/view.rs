//! A collection as it lies in a key, to be read.
//!
//! A small collection shares one block with its key, so no value of its type stands anywhere in memory: one is made up for
//! who reads it, and is forgotten afterwards without being dropped, since the key keeps what it owns.
//!
//! This is one of the few files with `unsafe`: to own something twice, and never drop it, is what it is for.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;

/// Reads like `&'a T`; is a `T` that is not dropped.
pub struct View<'a, T> {
    value: ManuallyDrop<T>,
    borrowed: PhantomData<&'a T>,
}

impl<T> View<'_, T> {
    /// A view of a value that was made up.
    ///
    /// # Safety
    /// What `value` owns must be there, and not change, as long as the view and its clones live.
    pub unsafe fn made_up(value: T) -> Self {
        View { value: ManuallyDrop::new(value), borrowed: PhantomData }
    }
}

impl<'a, T> From<&'a T> for View<'a, T> {
    fn from(value: &'a T) -> Self {
        // SAFETY: the copy is only read, and not dropped, and `value` is borrowed as long as it lives.
        let value = ManuallyDrop::new(unsafe { std::ptr::read(value) });
        View { value, borrowed: PhantomData }
    }
}

impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        // SAFETY: as in `from`; the clone lives no longer than what this view reads.
        let value = ManuallyDrop::new(unsafe { std::ptr::read(&*self.value) });
        View { value, borrowed: PhantomData }
    }
}

impl<T> Deref for View<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}
