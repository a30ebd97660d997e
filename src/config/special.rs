//! Directives of several words, each with a type of its own. The error texts are Redis'.

use crate::base::bytes;
use crate::config::cell::{Cell, Line, Source, by_space, one_of};
use crate::config::number;
use crate::config::row::Row;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// A list that is read as a shared slice and replaced as a whole.
struct List<T>(RwLock<Arc<[T]>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(RwLock::new(Arc::from(Vec::new())))
    }
}

impl<T> List<T> {
    fn get(&self) -> Arc<[T]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, items: Vec<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = items.into();
    }
}

/// `save`: dump the data after `seconds` when at least `changes` were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last dump, at least 1.
    pub seconds: i64,
    /// Changes since the last dump.
    pub changes: i32,
}

/// All of `save`.
#[derive(Default)]
pub struct SavePoints {
    points: List<SavePoint>,
    /// A file's first `save` replaces the defaults, its later ones add to it.
    from_file: AtomicBool,
}

impl SavePoints {
    /// The save points in force.
    pub fn get(&self) -> Arc<[SavePoint]> {
        self.points.get()
    }
}

impl Cell for SavePoints {
    fn text(&self, _: &Row) -> Vec<u8> {
        let pairs = self.get().iter().map(|point| format!("{} {}", point.seconds, point.changes)).collect::<Vec<_>>();
        pairs.join(" ").into_bytes()
    }

    fn set(&self, _: &Row, words: &[&[u8]], source: Source) -> Result<(), String> {
        let words = without_empty(words);
        let points = words.chunks(2).map(save_point).collect::<Option<Vec<_>>>().ok_or("Invalid save parameters")?;
        let first = source != Source::File || !self.from_file.swap(true, Relaxed);
        let mut all = if first || points.is_empty() { Vec::new() } else { self.get().to_vec() };
        all.extend(points);
        self.points.store(all);
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let points = self.get();
        let lines = points.iter().map(|point| format!("{} {} {}", row.name, point.seconds, point.changes));
        let mut lines: Vec<Line> = lines.map(|text| Line { text: text.into_bytes(), forced: true }).collect();
        if lines.is_empty() {
            lines.push(Line { text: format!("{} \"\"", row.name).into_bytes(), forced: true });
        }
        lines
    }
}

fn save_point(pair: &[&[u8]]) -> Option<SavePoint> {
    let [seconds, changes] = pair else { return None };
    // Redis keeps the changes in an int and lets bigger numbers wrap.
    let (seconds, changes) = (saturating(seconds)?, saturating(changes)?);
    (seconds >= 1 && changes >= 0).then_some(SavePoint { seconds, changes: changes as i32 })
}

/// C's `strtoll`: blanks and a sign allowed, out of range saturates, nothing at all is 0.
fn saturating(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?.trim_ascii_start();
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if !digits.iter().all(u8::is_ascii_digit) || (digits.is_empty() && !word.is_empty()) {
        return None;
    }
    let size = digits.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -size } else { size })
}

/// A single empty word stands for no words.
fn without_empty<'a, 'b>(words: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    if let [b""] = words { &[] } else { words }
}

/// The three classes `client-output-buffer-limit` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// Clients that send commands, MONITOR included.
    Normal,
    /// Replicas.
    Replica,
    /// Clients with a subscription.
    Pubsub,
}

/// How much may wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// More bytes than this close it at once; 0 is no limit.
    pub hard_bytes: u64,
    /// More bytes than this close it after `soft_seconds`; 0 is no limit.
    pub soft_bytes: u64,
    /// How long the soft limit may be passed.
    pub soft_seconds: i64,
}

/// All of `client-output-buffer-limit`.
#[derive(Default)]
pub struct OutputLimits([[AtomicI64; 3]; 3]);

const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl OutputLimits {
    /// The limit of a class.
    pub fn get(&self, class: ClientClass) -> OutputLimit {
        let [hard, soft, seconds] = &self.0[class as usize];
        OutputLimit {
            hard_bytes: hard.load(Relaxed) as u64,
            soft_bytes: soft.load(Relaxed) as u64,
            soft_seconds: seconds.load(Relaxed),
        }
    }
}

impl Cell for OutputLimits {
    fn text(&self, _: &Row) -> Vec<u8> {
        let class = |(name, limit): (&&str, &[AtomicI64; 3])| {
            let [hard, soft, seconds] = limit.each_ref().map(|number| number.load(Relaxed));
            format!("{name} {hard} {soft} {seconds}")
        };
        CLASSES.iter().zip(&self.0).map(class).collect::<Vec<_>>().join(" ").into_bytes()
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let words = without_empty(words);
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let limits = words.chunks(4).map(output_limit).collect::<Result<Vec<_>, _>>()?;
        for (class, limit) in limits {
            self.0[class].iter().zip(limit).for_each(|(cell, value)| cell.store(value, Relaxed));
        }
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let default = Self::default();
        let words = by_space(row.default.as_bytes());
        default.set(row, &words, Source::Table).expect("the default obeys its own rules");
        let line = |((name, limit), default): ((&&str, &[AtomicI64; 3]), &[AtomicI64; 3])| {
            let [hard, soft, seconds] = limit.each_ref().map(|number| number.load(Relaxed));
            let name = if *name == "slave" { "replica" } else { name };
            let (hard_text, soft_text) = (number::print_bytes(hard), number::print_bytes(soft));
            let text = format!("{} {name} {hard_text} {soft_text} {seconds}", row.name).into_bytes();
            Line { text, forced: [hard, soft, seconds] != default.each_ref().map(|number| number.load(Relaxed)) }
        };
        CLASSES.iter().zip(&self.0).zip(&default.0).map(line).collect()
    }
}

fn output_limit(words: &[&[u8]]) -> Result<(usize, [i64; 3]), &'static str> {
    let [class, hard, soft, seconds] = words else {
        return Err("Wrong number of arguments in buffer limit configuration.");
    };
    let class = match class.to_ascii_lowercase().as_slice() {
        b"normal" => ClientClass::Normal,
        b"slave" | b"replica" => ClientClass::Replica,
        b"pubsub" => ClientClass::Pubsub,
        _ => return Err("Invalid client class specified in buffer limit configuration."),
    };
    let limit = || Some([number::memory(hard)? as i64, number::memory(soft)? as i64, saturating(seconds)?]);
    match limit() {
        Some(limit) if limit[2] >= 0 => Ok((class as usize, limit)),
        _ => Err("Error in hard, soft or soft_seconds setting in buffer limit configuration."),
    }
}

/// `notify-keyspace-events` as a set of bits.
#[derive(Default)]
pub struct EventClasses(AtomicU32);

/// Every class letter with its bit, in the order Redis prints them.
const EVENT_LETTERS: [(u8, u32); 13] = [
    (b'g', EventClasses::GENERIC),
    (b'$', EventClasses::STRING),
    (b'l', EventClasses::LIST),
    (b's', EventClasses::SET),
    (b'h', EventClasses::HASH),
    (b'z', EventClasses::ZSET),
    (b'x', EventClasses::EXPIRED),
    (b'e', EventClasses::EVICTED),
    (b't', EventClasses::STREAM),
    (b'd', EventClasses::MODULE),
    (b'n', EventClasses::NEW),
    (b'K', EventClasses::KEYSPACE),
    (b'E', EventClasses::KEYEVENT),
];

impl EventClasses {
    /// `K`: messages on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: u32 = 1 << 0;
    /// `E`: messages on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`: commands of any type.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`: strings.
    pub const STRING: u32 = 1 << 3;
    /// `l`: lists.
    pub const LIST: u32 = 1 << 4;
    /// `s`: sets.
    pub const SET: u32 = 1 << 5;
    /// `h`: hashes.
    pub const HASH: u32 = 1 << 6;
    /// `z`: sorted sets.
    pub const ZSET: u32 = 1 << 7;
    /// `x`: keys that expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: keys that were evicted.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`: streams.
    pub const STREAM: u32 = 1 << 10;
    /// `m`: keys that were asked for and not there; not part of `A`.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: values of modules.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: keys that came into being; not part of `A`.
    pub const NEW: u32 = 1 << 14;
    /// `A`: every class but `m` and `n`.
    pub const ALL: u32 = Self::GENERIC
        | Self::STRING
        | Self::LIST
        | Self::SET
        | Self::HASH
        | Self::ZSET
        | Self::EXPIRED
        | Self::EVICTED
        | Self::STREAM
        | Self::MODULE;

    /// The bits in force; 0 means that nobody is told anything.
    #[inline]
    pub fn bits(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Cell for EventClasses {
    fn text(&self, _: &Row) -> Vec<u8> {
        let bits = self.bits();
        let all = bits & Self::ALL == Self::ALL;
        // With `A`, Redis leaves `n` out, so its own text does not bring `n` back.
        let hidden = if all { Self::ALL | Self::NEW } else { 0 };
        let letters = EVENT_LETTERS.iter().filter(|(_, bit)| bits & !hidden & bit != 0).map(|(letter, _)| *letter);
        let mut text: Vec<u8> = all.then_some(b'A').into_iter().chain(letters).collect();
        if bits & Self::KEY_MISS != 0 {
            text.push(b'm');
        }
        text
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let [word] = words else { return Err("wrong number of arguments".into()) };
        let bit = |letter: &u8| match letter {
            b'A' => Some(Self::ALL),
            b'm' => Some(Self::KEY_MISS),
            _ => EVENT_LETTERS.iter().find(|(known, _)| known == letter).map(|(_, bit)| *bit),
        };
        let bits = word.iter().try_fold(0, |bits, letter| Some(bits | bit(letter)?));
        self.0.store(bits.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?, Relaxed);
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let text = [row.redis_name().as_bytes(), b" ", &bytes::quoted(&self.text(row))].concat();
        vec![Line { text, forced: self.bits() != 0 }]
    }
}

/// `bind`: addresses to listen on. One with a `-` in front may be missing; `*` and `::*` are all of IPv4 and IPv6.
#[derive(Default)]
pub struct Bind(List<Box<[u8]>>);

const BIND_MAX: usize = 16;

impl Bind {
    /// The addresses as written.
    pub fn get(&self) -> Arc<[Box<[u8]>]> {
        self.0.get()
    }
}

impl Cell for Bind {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.get().join(&b' ')
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let words = without_empty(words);
        if words.len() > BIND_MAX {
            return Err("Too many bind addresses specified.".into());
        }
        self.0.store(words.iter().map(|word| Box::from(*word)).collect());
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let value = self.text(row);
        let forced = value != row.default.as_bytes();
        let shown = if value.is_empty() { &b"\"\""[..] } else { &value };
        vec![Line { text: [row.redis_name().as_bytes(), b" ", shown].concat(), forced }]
    }
}

/// `latency-tracking-info-percentiles`, each between 0 and 100.
#[derive(Default)]
pub struct Percentiles(List<f64>);

impl Percentiles {
    /// The percentiles INFO reports.
    pub fn get(&self) -> Arc<[f64]> {
        self.0.get()
    }

    /// A percentile as Redis prints it: six decimals at most, no zeros at the end.
    pub fn print(percentile: f64) -> String {
        let text = format!("{percentile:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    }
}

impl Cell for Percentiles {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.get().iter().map(|percentile| Self::print(*percentile)).collect::<Vec<_>>().join(" ").into_bytes()
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let percentiles = without_empty(words).iter().map(|word| percentile(word)).collect::<Result<Vec<_>, _>>()?;
        self.0.store(percentiles);
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let value = self.text(row);
        let forced = value != row.default.as_bytes();
        let shown = if value.is_empty() { &b"\"\""[..] } else { &value };
        vec![Line { text: [row.redis_name().as_bytes(), b" ", shown].concat(), forced }]
    }
}

fn percentile(word: &[u8]) -> Result<f64, &'static str> {
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok()).filter(|it| !it.is_nan());
    let number = number.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
    if !(0.0..=100.0).contains(&number) {
        return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    }
    Ok(number)
}

/// `oom-score-adj-values`: the kernel's wish to kill us as a primary, as a replica and as a background job.
#[derive(Default)]
pub struct OomScoreValues([AtomicI32; 3]);

impl OomScoreValues {
    /// The three values.
    pub fn get(&self) -> [i32; 3] {
        self.0.each_ref().map(|value| value.load(Relaxed))
    }

    /// Whether a process without privileges may set them one after another: each at least the one before, none below 0.
    pub fn needs_privileges(&self) -> bool {
        let [primary, replica, job] = self.get();
        primary < 0 || replica < primary || job < replica
    }
}

impl Cell for OomScoreValues {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.get().map(|value| value.to_string()).join(" ").into_bytes()
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let &[primary, replica, job] = words else { return Err("wrong number of arguments".into()) };
        let value = |word| saturating(word).filter(|value| (-2000..=2000).contains(value));
        let all = || Some([value(primary)?, value(replica)?, value(job)?]);
        let values = all().ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        self.0.iter().zip(values).for_each(|(cell, value)| cell.store(value as i32, Relaxed));
        Ok(())
    }
}

/// `replicaof`: the primary to follow.
#[derive(Default)]
pub struct ReplicaOf(RwLock<Option<(Arc<str>, u16)>>);

impl ReplicaOf {
    /// Host and port of the primary, or `None` for a primary.
    pub fn get(&self) -> Option<(Arc<str>, u16)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows another primary or none; for the REPLICAOF command.
    pub fn store(&self, primary: Option<(Arc<str>, u16)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = primary;
    }
}

impl Cell for ReplicaOf {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.get().map_or(Vec::new(), |(host, port)| format!("{host} {port}").into_bytes())
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let is_none = |host: &[u8], port: &[u8]| host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one");
        let (host, port) = match *words {
            [b""] => ("".as_bytes(), "".as_bytes()),
            [host, port] => (host, port),
            _ => return Err("wrong number of arguments".into()),
        };
        if words.len() == 1 || is_none(host, port) {
            self.store(None);
            return Ok(());
        }
        let port = saturating(port).and_then(|port| u16::try_from(port).ok()).ok_or("Invalid master port")?;
        self.store(Some((String::from_utf8_lossy(host).into(), port)));
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let line = |(host, port)| Line { text: format!("{} {host} {port}", row.name).into_bytes(), forced: true };
        self.get().map(line).into_iter().collect()
    }
}

/// `shutdown-on-sigterm`, `shutdown-on-sigint`: options of SHUTDOWN as bits; none is `default`.
#[derive(Default)]
pub struct ShutdownFlags(AtomicU8);

const SHUTDOWN_WORDS: [(&str, u8); 5] = [
    ("default", 0),
    ("save", ShutdownFlags::SAVE),
    ("nosave", ShutdownFlags::NOSAVE),
    ("now", ShutdownFlags::NOW),
    ("force", ShutdownFlags::FORCE),
];

impl ShutdownFlags {
    /// Save even without save points.
    pub const SAVE: u8 = 1 << 0;
    /// Do not save.
    pub const NOSAVE: u8 = 1 << 1;
    /// Do not wait for lagging replicas.
    pub const NOW: u8 = 1 << 2;
    /// Go even when saving fails.
    pub const FORCE: u8 = 1 << 3;

    /// The bits in force.
    pub fn bits(&self) -> u8 {
        self.0.load(Relaxed)
    }
}

impl Cell for ShutdownFlags {
    fn text(&self, _: &Row) -> Vec<u8> {
        let bits = self.bits();
        let set: Vec<&str> = SHUTDOWN_WORDS.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
        if set.is_empty() { b"default".to_vec() } else { set.join(" ").into_bytes() }
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let bit = |word: &&[u8]| {
            let known = SHUTDOWN_WORDS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
            known.map(|(_, bit)| *bit)
        };
        let bits = words.iter().try_fold(0, |bits, word| Some(bits | bit(word)?)).filter(|_| !words.is_empty());
        let bits = bits.ok_or_else(|| one_of(SHUTDOWN_WORDS.iter().map(|(name, _)| *name)))?;
        if bits & (Self::SAVE | Self::NOSAVE) == Self::SAVE | Self::NOSAVE {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        self.0.store(bits, Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::row;

    /// Sets `words` cut at spaces, as CONFIG SET does, and prints the result or the error.
    fn try_set(cell: &impl Cell, words: &str, source: Source) -> String {
        let row = row::special("x", "");
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        match cell.set(&row, &words, source) {
            Ok(()) => String::from_utf8(cell.text(&row)).expect("ASCII"),
            Err(error) => error,
        }
    }

    fn check(cell: &impl Cell, cases: &[(&str, &str)]) {
        for (words, want) in cases {
            assert_eq!(try_set(cell, words, Source::Command), *want, "{words:?}");
        }
    }

    #[test]
    fn save_points_replace_at_runtime_and_add_up_in_a_file() {
        let bad = "Invalid save parameters";
        let save = SavePoints::default();
        check(
            &save,
            &[
                ("1 0", "1 0"),
                ("3600 1 300 100", "3600 1 300 100"),
                ("1", bad),
                ("a b", bad),
                ("0 1", bad),
                ("1 -1", bad),
                (" 1 1", bad),
                ("1  1", bad),
                ("99999999999999999999 1", "9223372036854775807 1"),
                ("10 99999999999", "10 1215752191"),
                ("", ""),
                ("60 5", "60 5"),
            ],
        );
        for (words, want) in [("900 1", "900 1"), ("300 10", "900 1 300 10"), ("", ""), ("60 7", "60 7")] {
            assert_eq!(try_set(&save, words, Source::File), want);
        }
    }

    #[test]
    fn output_limits_change_one_class_at_a_time() {
        let limits = OutputLimits::default();
        let count = "Wrong number of arguments in buffer limit configuration.";
        let class = "Invalid client class specified in buffer limit configuration.";
        let value = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        check(
            &limits,
            &[
                ("replica 1mb 2 3 pubsub 1 1 1", "normal 0 0 0 slave 1048576 2 3 pubsub 1 1 1"),
                ("normal 1 2", count),
                ("master 1 2 3", class),
                ("normal x 2 3", value),
                ("normal 1 2 -3", value),
                ("normal 1 1 1 foo 1 2 3", class),
                ("", "normal 0 0 0 slave 1048576 2 3 pubsub 1 1 1"),
            ],
        );
        let limit = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 2, soft_seconds: 3 };
        assert_eq!(limits.get(ClientClass::Replica), limit);
    }

    #[test]
    fn event_classes_print_in_their_own_order() {
        check(
            &EventClasses::default(),
            &[
                ("KEA", "AKE"),
                ("AKE", "AKE"),
                ("KEAn", "AKE"),
                ("KEAm", "AKEm"),
                ("g$lshzxet", "g$lshzxet"),
                ("KEg$lshzxetd", "AKE"),
                ("KEtmdn", "tdnKEm"),
                ("Kx", "xK"),
                ("q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
                ("", ""),
            ],
        );
    }

    #[test]
    fn the_other_lists() {
        let number = "Invalid latency-tracking-info-percentiles parameters";
        let range = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
        check(
            &Percentiles::default(),
            &[
                ("50 99 99.9", "50 99 99.9"),
                ("12.345678901234567 1e1", "12.345679 10"),
                ("101", range),
                ("-1", range),
                ("abc", number),
                ("nan", number),
                ("", ""),
            ],
        );
        let scores = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
        let count = "wrong number of arguments";
        check(
            &OomScoreValues::default(),
            &[("1 2 3", "1 2 3"), ("1 2", count), ("a b c", scores), ("-2001 1 1", scores), ("1 1 1.5", scores)],
        );
        let port = "Invalid master port";
        check(
            &ReplicaOf::default(),
            &[("a 1", "a 1"), ("a b", port), ("a 70000", port), ("a", count), ("no one", ""), ("h 2", "h 2"), ("", "")],
        );
        let word = "argument(s) must be one of the following: default, save, nosave, now, force";
        let both = "shutdown options SAVE and NOSAVE can't be used simultaneously";
        check(
            &ShutdownFlags::default(),
            &[
                ("nosave force now", "nosave now force"),
                ("now default", "now"),
                ("save nosave", both),
                ("force  now", word),
                ("", word),
                ("default", "default"),
            ],
        );
        let many = ["1.1.1.1"; 17].join(" ");
        check(&Bind::default(), &[("* -::*", "* -::*"), (&many, "Too many bind addresses specified."), ("", "")]);
    }
}
