//! Names of commands up to 16 bytes, looked up as numbers: a name is one 128-bit load, its case is folded in six steps,
//! and one multiplication says where it stands. Hashing it byte by byte took five times as long, for every command that
//! is not the one before.

/// Names and numbers of commands, half of the places free.
pub(super) struct Names {
    places: Box<[Place]>,
    shift: u32,
}

#[derive(Clone, Copy)]
struct Place {
    /// The name in lower case, filled up with zeros.
    name: u128,
    /// Its length; 0 where nothing is.
    len: u8,
    number: u16,
}

/// The longest name that fits.
const LEN_MAX: usize = size_of::<u128>();

impl Names {
    /// Of names in lower case; those that are too long are left out.
    pub fn new<'a>(names: impl Iterator<Item = (&'a [u8], u16)>) -> Names {
        let names: Vec<(&[u8], u16)> = names.filter(|(name, _)| fits(name)).collect();
        let count = (names.len() * 2).next_power_of_two().max(2);
        let free = Place { name: 0, len: 0, number: 0 };
        let mut table = Names { places: vec![free; count].into(), shift: 64 - count.trailing_zeros() };
        for (name, number) in names {
            let folded = fold(name);
            let mut at = table.first(folded);
            while table.places[at].len != 0 {
                at = table.next(at);
            }
            table.places[at] = Place { name: folded, len: name.len() as u8, number };
        }
        table
    }

    /// The number of a name in any case. `None` says nothing of a longer one.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<u16> {
        if !fits(name) {
            return None;
        }
        let folded = fold(name);
        let mut at = self.first(folded);
        loop {
            let place = &self.places[at];
            if place.name == folded && place.len as usize == name.len() {
                return Some(place.number);
            }
            if place.len == 0 {
                return None;
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn first(&self, folded: u128) -> usize {
        let mixed = (folded as u64 ^ (folded >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> self.shift) as usize
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }
}

/// Whether a name can be here.
#[inline]
pub(super) fn fits(name: &[u8]) -> bool {
    (1..=LEN_MAX).contains(&name.len())
}

/// The name as a number, with `A` to `Z` as `a` to `z` and every other byte as it is.
#[inline]
fn fold(name: &[u8]) -> u128 {
    const EACH: u128 = u128::MAX / 0xFF;
    let mut bytes = [0; LEN_MAX];
    bytes[..name.len()].copy_from_slice(name);
    let name = u128::from_le_bytes(bytes);
    // In seven bits a byte can be compared by adding: the eighth says whether it was as large.
    let seven = name & (EACH * 0x7F);
    let from_a = seven + EACH * (0x80 - b'A' as u128);
    let past_z = seven + EACH * (0x80 - (b'Z' + 1) as u128);
    let is_upper = (from_a ^ past_z) & !name & (EACH * 0x80);
    name | (is_upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_folded_as_ascii_folds_it() {
        for byte in 0..=255_u8 {
            let name = [b'x', byte, byte, b'Z', byte];
            assert_eq!(fold(&name), fold(&name.to_ascii_lowercase()), "{byte}");
            assert_eq!(fold(&name).to_le_bytes()[1], byte.to_ascii_lowercase(), "{byte}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        let names = ["get", "set", "eval_ro", "georadiusbymembe", "g", "georadiusbymember_ro"];
        let table = Names::new(names.iter().enumerate().map(|(number, name)| (name.as_bytes(), number as u16)));
        for (number, name) in names.iter().enumerate().take(5) {
            for spelled in [name.to_string(), name.to_uppercase()] {
                assert_eq!(table.find(spelled.as_bytes()), Some(number as u16), "{spelled}");
            }
        }
        let strangers: [&[u8]; 7] = [b"", b"ge", b"get\0", b"\0get", b"eval\x7fro", b"georadiusbymember_ro", b"[et"];
        for stranger in strangers {
            assert_eq!(table.find(stranger), None, "{}", stranger.escape_ascii());
        }
    }
}
