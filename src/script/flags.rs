//! What a script says about itself: the flags of a shebang line, and the name a library gives itself there.

use crate::base::bytes::plain_line;

/// Flags of a script or function, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// The script promises not to write; implies [`Flags::ALLOW_OOM`].
    pub const NO_WRITES: Flags = Flags(1);
    /// The script may run while memory is full.
    pub const ALLOW_OOM: Flags = Flags(1 << 1);
    /// The script may run on a replica that lost its primary.
    pub const ALLOW_STALE: Flags = Flags(1 << 2);
    /// The script refuses to run in cluster mode.
    pub const NO_CLUSTER: Flags = Flags(1 << 3);
    /// No shebang: nothing is known, each nested command is judged on its own.
    pub const EVAL_COMPAT: Flags = Flags(1 << 4);
    /// The script may touch keys of several slots.
    pub const ALLOW_CROSS_SLOT: Flags = Flags(1 << 5);

    /// Names in the order FUNCTION LIST gives them.
    const NAMES: [(Flags, &'static str); 5] = [
        (Flags::NO_WRITES, "no-writes"),
        (Flags::ALLOW_OOM, "allow-oom"),
        (Flags::ALLOW_STALE, "allow-stale"),
        (Flags::NO_CLUSTER, "no-cluster"),
        (Flags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    /// The flag of this name.
    pub fn named(name: &[u8]) -> Option<Flags> {
        Self::NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// The names of the flags in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }

    /// Both sets together.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The flags of an EVAL script, and where its code begins (the newline behind the shebang, so that lines keep their
/// numbers). `Err` is the text of the reply, without `ERR`.
pub fn eval_shebang(body: &[u8]) -> Result<(Flags, usize), Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Ok((Flags::EVAL_COMPAT, 0));
    }
    let end = memchr::memchr(b'\n', body).ok_or(b"Invalid script shebang".as_slice())?;
    let words = split_words(&body[..end]).ok_or(b"Invalid engine in script shebang".as_slice())?;
    let engine = words.first().map_or(b"".as_slice(), Vec::as_slice);
    if engine != b"#!lua" {
        return Err(text("Unexpected engine in script shebang: ", engine));
    }
    let mut flags = Flags::default();
    for word in &words[1..] {
        let names = word.strip_prefix(b"flags=").ok_or_else(|| text("Unknown lua shebang option: ", word))?;
        if names.is_empty() {
            continue;
        }
        for name in names.split(|&b| b == b',') {
            flags = flags.and(Flags::named(name).ok_or_else(|| text("Unexpected flag in script shebang: ", name))?);
        }
    }
    Ok((flags, end))
}

/// The name of a library and where its code begins. `Err` is the text of the reply, without `ERR`.
pub(super) fn library_shebang(code: &[u8]) -> Result<(Vec<u8>, usize), Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Err(b"Missing library metadata".to_vec());
    }
    let end = memchr::memchr(b'\n', code).ok_or(b"Invalid library metadata".as_slice())?;
    let words = split_words(&code[..end]).ok_or(b"Invalid library metadata".as_slice())?;
    let engine = words.first().map_or(b"".as_slice(), |word| &word[2..]);
    let mut name = None;
    for word in words.iter().skip(1) {
        let Some(value) = word.get(..5).filter(|key| key.eq_ignore_ascii_case(b"name=")).map(|_| &word[5..]) else {
            return Err(text("Invalid metadata value given: ", word));
        };
        if name.replace(value.to_vec()).is_some() {
            return Err(b"Invalid metadata value, name argument was given multiple times".to_vec());
        }
    }
    let name = name.ok_or(b"Library name was not given".as_slice())?;
    if !valid_name(&name) {
        return Err(BAD_NAME.as_bytes().to_vec());
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err([b"Engine '", plain_line(engine).as_slice(), b"' not found"].concat());
    }
    Ok((name, end))
}

/// The reply to a bad name of a library or function.
pub(super) const BAD_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether a library or function may be called this.
pub(super) fn valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn text(start: &str, rest: &[u8]) -> Vec<u8> {
    [start.as_bytes(), &plain_line(rest)].concat()
}

/// Splits a line into words, with the quotes and escapes of configuration files. `None` when a quote stays open or
/// is not followed by a space.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' | 0 => break,
                b'"' | b'\'' => {
                    rest = quoted(byte, after, &mut word)?;
                    if rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                        return None;
                    }
                    break;
                }
                byte => {
                    word.push(byte);
                    rest = after;
                }
            }
        }
        if rest.first() == Some(&0) {
            rest = &[];
        }
        words.push(word);
    }
}

/// Reads up to the closing quote; returns what follows it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match (quote, rest) {
            (_, []) => return None,
            (quote, [byte, after @ ..]) if *byte == quote => return Some(after),
            (b'"', [b'\\', b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
                word.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (b'"', [b'\\', escaped, after @ ..]) => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            (b'\'', [b'\\', b'\'', after @ ..]) => {
                word.push(b'\'');
                rest = after;
            }
            (_, [byte, after @ ..]) => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shebang_line_says_what_the_original_reads_in_it() {
        let cases: &[(&str, Result<Flags, &str>)] = &[
            ("return 1", Ok(Flags::EVAL_COMPAT)),
            ("#!lua\nreturn 1", Ok(Flags::default())),
            ("#!lua flags=\n", Ok(Flags::default())),
            ("#!lua  flags=no-writes\n", Ok(Flags::NO_WRITES)),
            ("#!lua \"flags=no-writes\"\n", Ok(Flags::NO_WRITES)),
            ("#!lua flags=no-writes flags=allow-oom\n", Ok(Flags::NO_WRITES.and(Flags::ALLOW_OOM))),
            ("#!lua flags=no-cluster,allow-cross-slot-keys\n", Ok(Flags::NO_CLUSTER.and(Flags::ALLOW_CROSS_SLOT))),
            ("#!", Err("Invalid script shebang")),
            ("#!lua", Err("Invalid script shebang")),
            ("#!LUA\n", Err("Unexpected engine in script shebang: #!LUA")),
            ("#! lua\n", Err("Unexpected engine in script shebang: #!")),
            ("#!lua flags=no-writes,\n", Err("Unexpected flag in script shebang: ")),
            ("#!lua flags=a,b\n", Err("Unexpected flag in script shebang: a")),
            ("#!lua name=a\n", Err("Unknown lua shebang option: name=a")),
            ("#!lua \"flags\n", Err("Invalid engine in script shebang")),
        ];
        for (body, want) in cases {
            let got = eval_shebang(body.as_bytes()).map(|(flags, _)| flags);
            assert_eq!(got, want.map_err(|e| e.as_bytes().to_vec()), "{body:?}");
        }
    }

    #[test]
    fn a_library_names_itself() {
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("#!lua name=a\n", Ok("a")),
            ("#!LUA NAME=a\n", Ok("a")),
            ("#!lua name=\"foo\"\n", Ok("foo")),
            ("", Err("Missing library metadata")),
            ("#!lua name=a", Err("Invalid library metadata")),
            ("#!lua name=\"a\n", Err("Invalid library metadata")),
            ("#!lua\n", Err("Library name was not given")),
            ("#!lua name=a b\n", Err("Invalid metadata value given: b")),
            ("#! lua name=x\n", Err("Invalid metadata value given: lua")),
            ("#!lua name=a name=b\n", Err("Invalid metadata value, name argument was given multiple times")),
            ("#!lua name=\n", Err(BAD_NAME)),
            ("#!lua name=a-b\n", Err(BAD_NAME)),
            ("#!nolua name=x\n", Err("Engine 'nolua' not found")),
            ("#! name=x\n", Err("Engine '' not found")),
        ];
        for (code, want) in cases {
            let got = library_shebang(code.as_bytes()).map(|(name, _)| String::from_utf8(name).unwrap());
            assert_eq!(got, want.map(str::to_owned).map_err(|e| e.as_bytes().to_vec()), "{code:?}");
        }
    }
}
