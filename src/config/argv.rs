//! The command line: `larder [/path/larder.conf] [--directive value ...] [-]`, read as `redis-server` reads its own.
//!
//! Options become lines of a configuration. A word with two dashes in front starts one, unless the option before it has
//! no value yet: then it is that value, so that values may begin with dashes too.

use crate::base::bytes;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
    /// Test the machine's memory.
    TestMemory,
    /// Test the machine's clock and kernel.
    CheckSystem,
    /// Be a Sentinel.
    Sentinel,
    /// Run the server.
    Serve {
        /// The configuration file.
        file: Option<Vec<u8>>,
        /// Read standard input after it.
        stdin: bool,
        /// Then these lines.
        options: Vec<u8>,
    },
}

/// Reads a command line, program name included.
pub fn read(argv: &[Vec<u8>]) -> Start {
    let words: Vec<&[u8]> = argv.iter().skip(1).map(Vec::as_slice).collect();
    if is_sentinel(argv) {
        return Start::Sentinel;
    }
    match words.first() {
        Some(&(b"-v" | b"--version")) => Start::Version,
        Some(&(b"-h" | b"--help")) => Start::Help,
        Some(&b"--test-memory") => Start::TestMemory,
        Some(&b"--check-system") => Start::CheckSystem,
        Some(first) if !first.starts_with(b"-") => serve(Some(first.to_vec()), &words[1..]),
        _ => serve(None, &words),
    }
}

/// Is this the program `redis-sentinel`, or called with `--sentinel`?
fn is_sentinel(argv: &[Vec<u8>]) -> bool {
    let program = argv.first().map_or(&b""[..], Vec::as_slice);
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"redis-sentinel") || argv.iter().skip(1).any(|word| word == b"--sentinel")
}

fn serve(file: Option<Vec<u8>>, words: &[&[u8]]) -> Start {
    let mut options = Vec::new();
    let mut stdin = false;
    let mut has_value = true;
    let last = words.len().wrapping_sub(1);
    for (at, word) in words.iter().enumerate() {
        if *word == b"-" && (at == last || (at == 0 && file.is_none())) {
            stdin = true;
        } else if has_value && word.starts_with(b"--") {
            if !options.is_empty() {
                options.push(b'\n');
            }
            options.extend_from_slice(&word[2..]);
            options.push(b' ');
            // `--port 6380` in one word brings its value along.
            has_value = bytes::split_args(word).map_or(true, |inner| inner.len() != 1);
            // An empty list of save points is what a list of arguments makes of `--save` alone.
            let next_is_option = words.get(at + 1).is_none_or(|next| next.starts_with(b"--"));
            if !has_value && next_is_option && word.eq_ignore_ascii_case(b"--save") {
                options.extend_from_slice(b"\"\"");
                has_value = true;
            }
        } else {
            bytes::push_quoted(&mut options, word);
            options.push(b' ');
            has_value = true;
        }
    }
    Start::Serve { file, stdin, options }
}

/// What `--help` prints, with the program's name as it was called.
pub fn usage(program: &str) -> String {
    format!(
        "Usage: {program} [/path/to/larder.conf] [--directive value ...] [-]
       {program} -              read the configuration from standard input
       {program} -v, --version  print the version
       {program} -h, --help     print this

Examples:
       {program}                                        defaults: port 6379, all addresses, protected
       {program} /etc/larder.conf                       a configuration file; a redis.conf will do
       {program} /etc/larder.conf --port 7777           the command line wins over the file
       {program} --maxmemory 1gb --maxmemory-policy allkeys-lru
       echo 'maxmemory 128mb' | {program} -
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(words: &[&str]) -> Start {
        read(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn serve(file: Option<&str>, stdin: bool, options: &str) -> Start {
        Start::Serve { file: file.map(|name| name.as_bytes().to_vec()), stdin, options: options.into() }
    }

    #[test]
    fn what_a_command_line_asks_for() {
        let cases: &[(&[&str], Start)] = &[
            (&["larder"], serve(None, false, "")),
            (&["larder", "-v"], Start::Version),
            (&["larder", "--version", "x"], Start::Version),
            (&["larder", "--help"], Start::Help),
            (&["larder", "--test-memory", "5"], Start::TestMemory),
            (&["larder", "--check-system"], Start::CheckSystem),
            (&["larder", "s.conf", "--sentinel"], Start::Sentinel),
            (&["/usr/bin/redis-sentinel", "s.conf"], Start::Sentinel),
            (&["redis-server", "r.conf"], serve(Some("r.conf"), false, "")),
            (&["larder", "-"], serve(None, true, "")),
            (&["larder", "-", "--port", "0"], serve(None, true, "port \"0\" ")),
            (&["larder", "r.conf", "-", "--port", "0"], serve(Some("r.conf"), false, "\"-\" \nport \"0\" ")),
            (&["larder", "r.conf", "--port", "1", "-"], serve(Some("r.conf"), true, "port \"1\" ")),
            (&["larder", "--save", "", "--hz 5"], serve(None, false, "save \"\" \nhz 5 ")),
            (&["larder", "--save", "--port", "1"], serve(None, false, "save \"\"\nport \"1\" ")),
            (&["larder", "--a", "--b", "--c"], serve(None, false, "a \"--b\" \nc ")),
        ];
        for (words, want) in cases {
            assert_eq!(start(words), *want, "{words:?}");
        }
    }
}
