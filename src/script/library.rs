//! Libraries of functions: what FUNCTION LOAD keeps.
//!
//! A library is its code and the functions the code registered. Names of libraries are compared as they are, names of
//! functions without regard to case. What is here is the directory; the compiled callbacks sit in slots inside Lua.

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::sync::Arc;

use super::flags::Flags;

/// A function as its library registered it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub name: Vec<u8>,
    /// What the library says about it.
    pub description: Option<Vec<u8>>,
    /// What it declares.
    pub flags: Flags,
    /// Where its callback is.
    pub(super) slot: u32,
}

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its name, from the shebang line.
    pub name: Vec<u8>,
    /// Its code with the shebang line.
    pub code: Arc<[u8]>,
    /// Its functions, in the order of registration.
    pub functions: Vec<Registered>,
}

impl Library {
    fn bytes(&self) -> usize {
        let functions = self.functions.iter().map(|function| {
            let description = function.description.as_ref().map_or(0, Vec::len);
            2 * function.name.len() + description + size_of::<Registered>() + size_of::<Place>() + 16
        });
        self.code.len() + 2 * self.name.len() + size_of::<Library>() + functions.sum::<usize>()
    }
}

/// Which function of which library.
#[derive(Clone, Debug)]
struct Place {
    library: Vec<u8>,
    index: usize,
}

/// How FUNCTION RESTORE treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// A library that exists is an error.
    Append,
    /// All that is there goes first.
    Flush,
    /// A library that exists is replaced.
    Replace,
}

/// The libraries of a server.
#[derive(Debug, Default)]
pub struct Libraries {
    libraries: BTreeMap<Vec<u8>, Library>,
    functions: HashMap<Vec<u8>, Place, ahash::RandomState>,
    count: usize,
    bytes: usize,
}

impl Libraries {
    /// The libraries by name.
    pub fn iter(&self) -> impl Iterator<Item = &Library> {
        self.libraries.values()
    }

    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many functions there are.
    pub fn functions_len(&self) -> usize {
        self.count
    }

    /// Bytes the libraries take outside Lua.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The library of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Library> {
        self.libraries.get(name)
    }

    /// The function of this name in any case.
    pub fn function(&self, name: &[u8]) -> Option<&Registered> {
        let place = match self.functions.get(name) {
            Some(place) => place,
            None => self.functions.get(&name.to_ascii_lowercase())?,
        };
        self.libraries.get(&place.library)?.functions.get(place.index)
    }

    /// Whether the functions of `new` are free, those of the library it replaces left out. `Err` names one that is not.
    pub(super) fn check_functions(&self, new: &Library, replaced: &[&[u8]]) -> Result<(), Vec<u8>> {
        for function in &new.functions {
            let place = self.functions.get(&function.name.to_ascii_lowercase());
            if place.is_some_and(|place| !replaced.contains(&place.library.as_slice())) {
                return Err([b"Function ", function.name.as_slice(), b" already exists"].concat());
            }
        }
        Ok(())
    }

    /// Adds a library, whose names are free.
    pub(super) fn insert(&mut self, library: Library) {
        for (index, function) in library.functions.iter().enumerate() {
            let place = Place { library: library.name.clone(), index };
            self.functions.entry(function.name.to_ascii_lowercase()).or_insert(place);
        }
        self.count += library.functions.len();
        self.bytes += library.bytes();
        self.libraries.insert(library.name.clone(), library);
    }

    /// Removes a library.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.libraries.remove(name)?;
        self.functions.retain(|_, place| place.library != library.name);
        self.count -= library.functions.len();
        self.bytes -= library.bytes();
        Some(library)
    }
}
