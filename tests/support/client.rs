//! A small blocking client that keeps the bytes: RESP2 and RESP3, typed replies beside the raw frame.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A reply that takes longer than this fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reply as the wire tells it apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` and `_`.
    Null,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    /// The digits as sent.
    Double(String),
    Bool(bool),
    Big(String),
    /// Format of three letters, then the text.
    Verbatim(String, Vec<u8>),
}

/// One frame: what it means and the bytes that said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub value: Value,
    pub raw: Vec<u8>,
}

/// A connection that sends requests and reads replies one by one.
pub struct Client {
    reader: BufReader<Box<dyn ReadWrite>>,
    /// The bytes of the frame being read.
    raw: Vec<u8>,
}

/// Both kinds of socket.
pub trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

impl Client {
    pub fn tcp(port: u16) -> io::Result<Self> {
        Self::with_patience(port, PATIENCE)
    }

    /// A connection that gives up on a reply after that time.
    pub fn with_patience(port: u16, patience: Duration) -> io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self::over(Box::new(socket)))
    }

    pub fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(Box::new(socket)))
    }

    fn over(socket: Box<dyn ReadWrite>) -> Self {
        Client { reader: BufReader::with_capacity(64 * 1024, socket), raw: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends one request and does not wait.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        self.send_raw(&request(args))
    }

    /// Reads the next frame, whatever it is.
    pub fn receive(&mut self) -> io::Result<Frame> {
        self.raw.clear();
        let value = self.value()?;
        Ok(Frame { value, raw: std::mem::take(&mut self.raw) })
    }

    /// Sends one request and reads one reply; fails the test when the connection does.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        let reply = self.send(args).and_then(|()| self.receive());
        match reply {
            Ok(frame) => frame.value,
            Err(error) => panic!("{}: {error}", typed(args)),
        }
    }

    /// The same for a line of words without quotes: `run("SET k v")`.
    pub fn run(&mut self, line: &str) -> Value {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The integer a command answers.
    pub fn int(&mut self, line: &str) -> i64 {
        match self.run(line) {
            Value::Int(number) => number,
            other => panic!("{line}: an integer was expected, got {other}"),
        }
    }

    /// The text a command answers.
    pub fn text(&mut self, line: &str) -> String {
        match self.run(line) {
            Value::Bulk(bytes) | Value::Simple(bytes) | Value::Verbatim(_, bytes) => lossy(&bytes),
            other => panic!("{line}: a string was expected, got {other}"),
        }
    }

    /// One field of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> Option<String> {
        let text = self.text(&format!("INFO {section}"));
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned))
    }

    pub fn ping(&mut self) -> io::Result<()> {
        self.send(&["PING"])?;
        match self.receive()?.value {
            Value::Simple(pong) if pong == b"PONG" => Ok(()),
            other => Err(io::Error::other(other.to_string())),
        }
    }

    /// The server answers: it is there, even if it wants a password first.
    pub fn is_answered(&mut self) -> bool {
        let reply = self.send(&["PING"]).and_then(|()| self.receive());
        reply.is_ok_and(|frame| frame.raw == b"+PONG\r\n" || frame.raw.starts_with(b"-NOAUTH"))
    }

    /// True when the server has closed the connection; data still on its way is dropped.
    pub fn is_closed(&mut self) -> bool {
        io::copy(&mut self.reader, &mut io::sink()).is_ok()
    }

    fn value(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (&kind, rest) = line.split_first().ok_or_else(|| io::Error::other("an empty line"))?;
        Ok(match kind {
            b'+' => Value::Simple(rest.to_vec()),
            b'-' => Value::Error(rest.to_vec()),
            b':' => Value::Int(number(rest)?),
            b'_' => Value::Null,
            b',' => Value::Double(lossy(rest)),
            b'(' => Value::Big(lossy(rest)),
            b'#' => Value::Bool(rest == b"t"),
            b'$' | b'=' | b'!' => match usize::try_from(number(rest)?) {
                Err(_) => Value::Null,
                Ok(len) => bulk(kind, self.bytes(len)?),
            },
            b'*' => match usize::try_from(number(rest)?) {
                Err(_) => Value::Null,
                Ok(len) => Value::Array(self.values(len)?),
            },
            b'~' => Value::Set(self.counted(rest)?),
            b'>' => Value::Push(self.counted(rest)?),
            b'%' => {
                let pairs = number(rest)?;
                Value::Map((0..pairs).map(|_| Ok((self.value()?, self.value()?))).collect::<io::Result<_>>()?)
            }
            _ => return Err(io::Error::other(format!("not a reply: {}", quoted(&line)))),
        })
    }

    fn counted(&mut self, digits: &[u8]) -> io::Result<Vec<Value>> {
        let len = usize::try_from(number(digits)?).map_err(io::Error::other)?;
        self.values(len)
    }

    fn values(&mut self, len: usize) -> io::Result<Vec<Value>> {
        (0..len).map(|_| self.value()).collect()
    }

    /// One line without its CR LF.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        self.raw.extend_from_slice(&line);
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Err(io::Error::other(format!("a line without CR LF: {}", quoted(&line)))),
        }
    }

    /// The bytes of a bulk of known length and the CR LF behind them.
    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len + 2];
        self.reader.read_exact(&mut bytes)?;
        self.raw.extend_from_slice(&bytes);
        if !bytes.ends_with(b"\r\n") {
            return Err(io::Error::other("a bulk without CR LF at its end"));
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

fn bulk(kind: u8, bytes: Vec<u8>) -> Value {
    match kind {
        b'!' => Value::Error(bytes),
        b'=' if bytes.len() >= 4 => Value::Verbatim(lossy(&bytes[..3]), bytes[4..].to_vec()),
        _ => Value::Bulk(bytes),
    }
}

/// A request as an array of bulks.
pub fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn number(digits: &[u8]) -> io::Result<i64> {
    let text = std::str::from_utf8(digits).map_err(io::Error::other)?;
    text.parse().map_err(|_| io::Error::other(format!("not a number: {text:?}")))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A string in double quotes, bytes that do not print escaped: what `redis-cli` shows and accepts.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

/// A request as one would type it into `redis-cli`.
pub fn typed<A: AsRef<[u8]>>(args: &[A]) -> String {
    let plain = |arg: &[u8]| {
        !arg.is_empty() && arg.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\'))
    };
    let words: Vec<String> = args
        .iter()
        .map(AsRef::as_ref)
        .map(|arg| match plain(arg) {
            true => lossy(arg),
            false if arg.len() > 80 => format!("{}({} bytes)", quoted(&arg[..40]), arg.len()),
            false => quoted(arg),
        })
        .collect();
    words.join(" ")
}

/// What `redis-cli` prints for the reply.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.lines().join("\n"))
    }
}

impl Value {
    /// The lines `redis-cli` prints for the reply.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Value::Simple(text) => vec![lossy(text)],
            Value::Error(text) => vec![format!("(error) {}", lossy(text))],
            Value::Int(number) => vec![format!("(integer) {number}")],
            Value::Bulk(bytes) => vec![quoted(bytes)],
            Value::Null => vec!["(nil)".to_owned()],
            Value::Double(digits) => vec![format!("(double) {digits}")],
            Value::Bool(truth) => vec![format!("({truth})")],
            Value::Big(digits) => vec![format!("(big number) {digits}")],
            Value::Verbatim(_, text) => lossy(text).lines().map(str::to_owned).collect(),
            Value::Array(items) => listed(items, ')', "(empty array)"),
            Value::Set(items) => listed(items, '~', "(empty set)"),
            Value::Push(items) => listed(items, ')', "(empty push)"),
            Value::Map(pairs) => pairs_listed(pairs),
        }
    }
}

fn listed(items: &[Value], mark: char, empty: &str) -> Vec<String> {
    if items.is_empty() {
        return vec![empty.to_owned()];
    }
    let width = items.len().to_string().len();
    let mut lines = Vec::new();
    for (index, item) in items.iter().enumerate() {
        indent(&mut lines, &format!("{:>width$}{mark} ", index + 1), &item.lines());
    }
    lines
}

fn pairs_listed(pairs: &[(Value, Value)]) -> Vec<String> {
    if pairs.is_empty() {
        return vec!["(empty hash)".to_owned()];
    }
    let width = pairs.len().to_string().len();
    let mut lines = Vec::new();
    for (index, (key, value)) in pairs.iter().enumerate() {
        let label = format!("{:>width$}# {} => ", index + 1, key.lines().join(" "));
        match value.lines().as_slice() {
            [line] => lines.push(label + line),
            nested => {
                lines.push(label);
                lines.extend(nested.iter().map(|line| format!("{}{line}", " ".repeat(width + 2))));
            }
        }
    }
    lines
}

/// The first line behind its label, the others below it.
fn indent(lines: &mut Vec<String>, label: &str, nested: &[String]) {
    for (index, line) in nested.iter().enumerate() {
        match index {
            0 => lines.push(format!("{label}{line}")),
            _ => lines.push(format!("{}{line}", " ".repeat(label.len()))),
        }
    }
}
