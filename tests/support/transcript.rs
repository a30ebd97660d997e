//! Sessions as text: what is typed and what must come back, in the words of `redis-cli`.
//!
//! ```text
//! # A comment.
//! === a visitor counter                 a session: the keyspace is flushed, connections are new
//! @since 7.2                            left out when the server calls itself older
//! @larder                               left out unless the server is ours
//! @resp3                                every connection says HELLO 3 first
//! > INCR visits                         typed on the connection without a name
//! (integer) 1                           what redis-cli prints for the reply
//! worker>& BLPOP queue 0                sent on another connection; goes on once the server has blocked it
//! > RPUSH queue job
//! (integer) 1
//! worker<                               the next frame that arrives there
//! 1) "queue"
//! 2) "job"
//! >~ SMEMBERS tags                      the lines below may come in any order
//! 1) "a"
//! 2) "b"
//! > TTL page
//! ~ (integer) [23]??                    a glob: ? one byte, * any, [..] one of
//! worker!                               that connection is closed by now
//! ```
//! Arguments may stand in double quotes with escapes (`\n`, `\x00`) or in single quotes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::client::{Client, Value};
use super::server::Server;

/// One session of a file.
struct Session {
    title: String,
    since: Option<String>,
    ours_only: bool,
    resp3: bool,
    steps: Vec<Step>,
}

/// One line that acts, with the lines expected below it.
struct Step {
    line_number: usize,
    connection: String,
    act: Act,
    expected: Vec<String>,
}

enum Act {
    Call(Vec<Vec<u8>>),
    CallInAnyOrder(Vec<Vec<u8>>),
    CallAndBlock(Vec<Vec<u8>>),
    Receive,
    Closed,
}

/// Runs every session of a file against a server. Prints all sessions that went otherwise, then fails.
pub fn play(path: &Path, server: &Server) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let sessions = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut control = server.connect();
    let ours = control.info("server", "larder_version").is_some();
    let version = control.info("server", "redis_version").expect("INFO has redis_version");
    let mut failures = Vec::new();
    for session in &sessions {
        let too_old = session.since.as_ref().is_some_and(|since| numbers(&version) < numbers(since));
        if too_old || (session.ours_only && !ours) {
            continue;
        }
        if let Err(difference) = session.play(server, &mut control) {
            failures.push(format!("{}: {}\n{difference}", path.display(), session.title));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} sessions differ:\n\n{}",
        failures.len(),
        sessions.len(),
        failures.join("\n")
    );
}

impl Session {
    fn play(&self, server: &Server, control: &mut Client) -> Result<(), String> {
        // A session that failed may have left its password behind.
        control.call(&["CONFIG", "SET", "requirepass", ""]);
        control.run("FLUSHALL");
        if let Value::Array(users) = control.run("ACL USERS") {
            for user in users {
                let Value::Bulk(name) = user else { continue };
                // An error for `default`, which stays.
                control.call(&[b"ACL", b"DELUSER".as_slice(), &name]);
            }
        }
        // The connections of the session before, and what they subscribed to, are gone.
        let _ = wait_until(|| control.info("clients", "connected_clients").as_deref() == Some("1"));
        let mut connections: BTreeMap<&str, Client> = BTreeMap::new();
        for step in &self.steps {
            let client = connections.entry(&step.connection).or_insert_with(|| self.connect(server));
            let got = step.act(client, control).map_err(|error| format!("line {}: {error}", step.line_number))?;
            step.compare(got)?;
        }
        Ok(())
    }

    fn connect(&self, server: &Server) -> Client {
        let mut client = server.connect();
        if self.resp3 {
            client.run("HELLO 3");
        }
        client
    }
}

impl Step {
    /// Does what the line says; the lines that came back.
    fn act(&self, client: &mut Client, control: &mut Client) -> Result<Vec<String>, String> {
        let text = |error: std::io::Error| error.to_string();
        match &self.act {
            Act::Call(args) | Act::CallInAnyOrder(args) => {
                client.send(args).map_err(text)?;
                Ok(client.receive().map_err(text)?.value.lines())
            }
            Act::CallAndBlock(args) => {
                let before = blocked_clients(control);
                client.send(args).map_err(text)?;
                wait_until(|| blocked_clients(control) > before).ok_or("the client did not block")?;
                Ok(Vec::new())
            }
            Act::Receive => Ok(client.receive().map_err(text)?.value.lines()),
            Act::Closed => match client.is_closed() {
                true => Ok(Vec::new()),
                false => Err("the connection is still open".to_owned()),
            },
        }
    }

    fn compare(&self, mut got: Vec<String>) -> Result<(), String> {
        let mut expected = self.expected.clone();
        if matches!(self.act, Act::CallInAnyOrder(_)) {
            got = sorted(&got);
            expected = sorted(&expected);
        }
        let fits = |(pattern, line): (&String, &String)| match pattern.strip_prefix("~ ") {
            Some(glob) => glob_matches(glob.as_bytes(), line.as_bytes()),
            None => pattern == line,
        };
        if expected.len() == got.len() && expected.iter().zip(&got).all(fits) {
            return Ok(());
        }
        let block = |lines: &[String]| lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
        Err(format!("line {}: expected\n{}  got\n{}", self.line_number, block(&expected), block(&got)))
    }
}

/// Elements without their numbers, in order of their bytes.
fn sorted(lines: &[String]) -> Vec<String> {
    let bare = |line: &String| {
        let rest = line.trim_start().trim_start_matches(|digit: char| digit.is_ascii_digit());
        rest.strip_prefix([')', '~', '#']).map_or_else(|| line.clone(), |rest| rest.trim_start().to_owned())
    };
    let mut bare: Vec<String> = lines.iter().map(bare).collect();
    bare.sort();
    bare
}

fn blocked_clients(control: &mut Client) -> u64 {
    let count = control.info("clients", "blocked_clients").expect("INFO has blocked_clients");
    count.parse().expect("blocked_clients is a number")
}

/// Asks again and again until the answer is yes; nothing after 20 s.
pub fn wait_until(mut condition: impl FnMut() -> bool) -> Option<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if condition() {
            return Some(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn parse(text: &str) -> Result<Vec<Session>, String> {
    let mut sessions: Vec<Session> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let wrong = |what: &str| format!("line {line_number}: {what}: {line}");
        if let Some(title) = line.strip_prefix("=== ") {
            let title = title.to_owned();
            sessions.push(Session { title, since: None, ours_only: false, resp3: false, steps: Vec::new() });
            continue;
        }
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let session = sessions.last_mut().ok_or_else(|| wrong("before the first session"))?;
        if let Some((connection, act)) = acting(line) {
            let act = act.map_err(|what| wrong(&what))?;
            session.steps.push(Step { line_number, connection, act, expected: Vec::new() });
        } else if let Some(setting) = line.strip_prefix('@') {
            match setting.split_once(' ') {
                Some(("since", version)) => session.since = Some(version.to_owned()),
                None if setting == "larder" => session.ours_only = true,
                None if setting == "resp3" => session.resp3 = true,
                _ => return Err(wrong("an unknown setting")),
            }
        } else {
            let step = session.steps.last_mut().ok_or_else(|| wrong("a reply before the first command"))?;
            step.expected.push(line.to_owned());
        }
    }
    Ok(sessions)
}

/// The connection and the act of a line that acts.
fn acting(line: &str) -> Option<(String, Result<Act, String>)> {
    let end = line.find(|letter: char| !letter.is_ascii_lowercase())?;
    let (connection, rest) = line.split_at(end);
    let act = match rest {
        "<" => Ok(Act::Receive),
        "!" => Ok(Act::Closed),
        _ => match rest.split_once(' ')? {
            (">", command) => words(command).map(Act::Call),
            (">~", command) => words(command).map(Act::CallInAnyOrder),
            (">&", command) => words(command).map(Act::CallAndBlock),
            _ => return None,
        },
    };
    Some((connection.to_owned(), act))
}

/// Splits a typed line into arguments.
pub fn words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while let Some(&first) = rest.first() {
        let (word, len) = match first {
            b'"' => double_quoted(rest)?,
            b'\'' => single_quoted(rest)?,
            _ => {
                let len = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                (rest[..len].to_vec(), len)
            }
        };
        words.push(word);
        rest = rest[len..].trim_ascii_start();
    }
    Ok(words)
}

fn single_quoted(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let end = text[1..].iter().position(|byte| *byte == b'\'').ok_or("an open quote")?;
    Ok((text[1..=end].to_vec(), end + 2))
}

/// The bytes between double quotes and the length with the quotes.
fn double_quoted(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    let mut at = 1;
    loop {
        match text.get(at..).ok_or("an open quote")? {
            [b'"', ..] => return Ok((bytes, at + 1)),
            [b'\\', b'x', high, low, ..] => {
                let digits = [*high, *low];
                let hex = std::str::from_utf8(&digits).map_err(|error| error.to_string())?;
                bytes.push(u8::from_str_radix(hex, 16).map_err(|error| error.to_string())?);
                at += 4;
            }
            [b'\\', letter, ..] => {
                bytes.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 0x07,
                    b'b' => 0x08,
                    other => *other,
                });
                at += 2;
            }
            [byte, ..] => {
                bytes.push(*byte);
                at += 1;
            }
            [] => return Err("an open quote".to_owned()),
        }
    }
}

/// Shell-like matching of one line: `*`, `?`, `[abc]`, everything else itself.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| glob_matches(rest, &text[skipped..])),
        ([b'?', rest @ ..], [_, text @ ..]) => glob_matches(rest, text),
        ([b'[', class @ ..], [byte, text @ ..]) if class.contains(&b']') => {
            let end = class.iter().position(|byte| *byte == b']').unwrap_or(class.len());
            class[..end].contains(byte) && glob_matches(&class[end + 1..], text)
        }
        ([expected, rest @ ..], [byte, text @ ..]) => expected == byte && glob_matches(rest, text),
        _ => false,
    }
}
