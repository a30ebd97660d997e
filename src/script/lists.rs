//! KEYS and ARGV of EVAL: tables that one script after another finds.
//!
//! To make both tables anew for each script, and to collect them after it, is a good part of what a short script costs. So
//! a table is filled again when the next script has as many arguments, if the last one has left nothing in it but those.
//! What a script has put in and taken out again leaves only room behind, which cannot be seen; so no table is used for long,
//! nor beyond a script that has left much memory in use.

use std::cell::Cell;

use super::stack::{Seen, Stack};

/// Scripts that a table is used for.
const USES_MAX: u32 = 100;

/// Arguments of a list that is used again: all of them are looked at after each script.
const KEPT_MAX: usize = 64;

/// One of the two.
pub(super) struct List {
    name: &'static str,
    /// Where the table stands on the stack, and where the globals do.
    place: i32,
    globals: i32,
    /// The arguments that the table has room for.
    len: Cell<usize>,
    /// Scripts that it may still be used for.
    uses_left: Cell<u32>,
}

impl List {
    /// A new one, which leaves its table on the stack; the globals are at a place there.
    pub fn new(stack: Stack, globals: i32, name: &'static str) -> List {
        stack.push_nil();
        let place = stack.height() as i32;
        List { name, place, globals, len: Cell::new(0), uses_left: Cell::new(0) }
    }

    /// Shows these texts to the next script.
    pub fn fill(&self, stack: Stack, texts: &[&[u8]]) {
        if self.uses_left.get() == 0 || self.len.get() != texts.len() {
            self.renew(stack, texts.len());
        }
        self.uses_left.set(self.uses_left.get() - 1);
        stack.push_copy(self.place);
        stack.set_texts(texts);
        stack.pop(1);
    }

    /// Makes a new table with room for so many texts.
    pub fn renew(&self, stack: Stack, len: usize) {
        stack.push_table(len, 0);
        stack.replace(self.place);
        stack.push_copy(self.globals);
        stack.push_text(self.name.as_bytes());
        stack.push_copy(self.place);
        stack.set_pair();
        stack.pop(1);
        self.len.set(len);
        self.uses_left.set(USES_MAX);
    }

    /// Forgets what the last script was shown, and whatever it has left.
    pub fn clear(&self, stack: Stack) {
        let len = self.len.get();
        stack.push_copy(self.place);
        if len <= KEPT_MAX && holds_items_only(stack, len) {
            for index in 1..=len {
                stack.push_nil();
                stack.set_item(index);
            }
            stack.pop(1);
        } else {
            stack.pop(1);
            self.renew(stack, 0);
        }
    }
}

/// Whether the table on top is a plain one, with no keys but 1 to `len`.
fn holds_items_only(stack: Stack, len: usize) -> bool {
    if stack.has_metatable() {
        return false;
    }
    let is_item =
        |key: Seen<'_>| matches!(key, Seen::Number(at) if at.fract() == 0.0 && (1.0..=len as f64).contains(&at));
    let height = stack.height();
    stack.push_nil();
    while stack.next() {
        stack.pop(1);
        if !is_item(stack.top()) {
            stack.cut(height);
            return false;
        }
    }
    true
}
