//! The longest common subsequence of two strings, for LCS.
//!
//! The textbook table: cell (i, j) is the length for the first i bytes of one and the first j of the other. Walking
//! back from the last cell gives the matching positions from the end; where both neighbours are equally good the walk
//! shortens the second string, as Redis does, so that the same one of several subsequences is found.

/// The table of two strings.
pub struct Lcs<'s> {
    a: &'s [u8],
    b: &'s [u8],
    /// Row by row, `b.len() + 1` cells a row.
    lengths: Vec<u32>,
}

/// A run of bytes that both strings have, with the first and the last position in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First and last position in the first string.
    pub a: (usize, usize),
    /// First and last position in the second string.
    pub b: (usize, usize),
}

impl Run {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.a.1 - self.a.0 + 1
    }
    /// Never: a run has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl<'s> Lcs<'s> {
    /// How many bytes the table of two strings of these lengths takes; `None` if that cannot be said.
    pub fn table_bytes(a: usize, b: usize) -> Option<usize> {
        (a + 1).checked_mul(b + 1)?.checked_mul(size_of::<u32>())
    }

    /// Fills the table; `None` when there is no memory for it.
    pub fn new(a: &'s [u8], b: &'s [u8]) -> Option<Lcs<'s>> {
        let columns = b.len() + 1;
        let mut lengths = Vec::new();
        lengths.try_reserve_exact(columns.checked_mul(a.len() + 1)?).ok()?;
        lengths.resize(columns * (a.len() + 1), 0u32);
        for i in 1..=a.len() {
            let (above, row) = lengths[(i - 1) * columns..(i + 1) * columns].split_at_mut(columns);
            for j in 1..=b.len() {
                row[j] = if a[i - 1] == b[j - 1] { above[j - 1] + 1 } else { above[j].max(row[j - 1]) };
            }
        }
        Some(Lcs { a, b, lengths })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * (self.b.len() + 1) + j]
    }

    /// The length of the subsequence.
    pub fn len(&self) -> usize {
        self.at(self.a.len(), self.b.len()) as usize
    }
    /// Have the strings nothing in common?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The subsequence itself.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.len());
        self.each_match(|i, _| text.push(self.a[i]));
        text.reverse();
        text
    }

    /// The runs of matching bytes, the last first.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        self.each_match(|i, j| match runs.last_mut() {
            Some(run) if run.a.0 == i + 1 && run.b.0 == j + 1 => (run.a.0, run.b.0) = (i, j),
            _ => runs.push(Run { a: (i, i), b: (j, j) }),
        });
        runs
    }

    /// Calls `found` with the positions of each matching byte, the last first.
    fn each_match(&self, mut found: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                found(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_s_example() {
        let lcs = Lcs::new(b"ohmytext", b"mynewtext").expect("small");
        assert_eq!((lcs.len(), lcs.text()), (6, b"mytext".to_vec()));
        assert_eq!(lcs.runs(), [Run { a: (4, 7), b: (5, 8) }, Run { a: (2, 3), b: (0, 1) }]);
    }

    #[test]
    fn nothing_in_common() {
        for (a, b) in [("", ""), ("abc", ""), ("", "abc"), ("abc", "xyz")] {
            let lcs = Lcs::new(a.as_bytes(), b.as_bytes()).expect("small");
            assert!(lcs.is_empty() && lcs.text().is_empty() && lcs.runs().is_empty());
        }
    }

    #[test]
    fn runs_make_up_the_text() {
        let mut rng = crate::base::rng::Rng::from_seed(5);
        for _ in 0..200 {
            let mut word = |len| (0..rng.index(len)).map(|_| b'a' + rng.index(3) as u8).collect::<Vec<u8>>();
            let (a, b) = (word(40), word(40));
            let lcs = Lcs::new(&a, &b).expect("small");
            let mut text = Vec::new();
            for run in lcs.runs().iter().rev() {
                assert_eq!(a[run.a.0..=run.a.1], b[run.b.0..=run.b.1]);
                text.extend_from_slice(&a[run.a.0..=run.a.1]);
            }
            assert_eq!((text.len(), text), (lcs.len(), lcs.text()));
        }
    }
}
