//! SORT and SORT_RO.
//!
//! The elements of a list, set or sorted set are copied out, weighed (by their own value or by a key that a pattern
//! makes of them), sorted, cut by LIMIT, and answered or stored. Which keys the patterns of BY and GET lead to is known
//! only then, so the commands hold the whole keyspace.

use super::Command;
use super::ctx::{Ctx, Origin, Outcome, Result, reply_str, reply_value};
use super::error::{Error, until_nul};
use crate::acl::selector::Asked;
use crate::base::num::{is_space, parse_f64};
use crate::keyspace::change::Class;
use crate::keyspace::{Deadline, Txn};
use crate::resp::reply::Reply;
use crate::spec::keys::{BadKeys, Found};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::list::{End, List};
use crate::types::packed::listpack::LpValue;
use crate::types::string::StrRef;
use crate::types::{Value, ValueRef};
use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

/// The family.
pub const COMMANDS: &[Command] = &[SORT, SORT_RO];

const NAMED_BY_ELEMENTS: &str = "Keys named by BY and GET: they depend on the elements.";
const BY: Arg = Arg::pattern_of("by-pattern", 1).shown("pattern").token("BY").optional();
const LIMIT: Arg = Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
const GET: Arg = Arg::pattern_of("get-pattern", 1).shown("pattern").token("GET").optional().multiple().multiple_token();
const ORDER: Arg = Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();
const ALPHA: Arg = Arg::word("sorting", "ALPHA").optional();

const SORT: Command = Command::new(
    sort,
    CommandSpec {
        name: "SORT",
        summary: "Sorts the elements of a list, set or sorted set, and may store the result.",
        complexity: "O(N+M*log(M)), N all elements, M those returned; O(N) where nothing is sorted",
        group: Group::Generic,
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        categories: Categories::SET.and(Categories::SORTEDSET).and(Categories::LIST).and(Categories::DANGEROUS),
        keys: Keys::AllShowing(
            keys_of_sort,
            &[KeySpec::one(1, Access::READ), KeySpec::unknown(Access::READ), KeySpec::unknown(Access::OVERWRITE)],
        ),
        key_notes: &["", NAMED_BY_ELEMENTS, "The key after STORE, which may stand anywhere."],
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), BY, LIMIT, GET, ORDER, ALPHA, Arg::key_of("destination", 2).token("STORE").optional()],
        ..CommandSpec::BASE
    },
);

const SORT_RO: Command = Command::new(
    sort_ro,
    CommandSpec {
        name: "SORT_RO",
        summary: "Sorts the elements of a list, set or sorted set.",
        since: "7.0.0",
        flags: Flags::READONLY,
        keys: Keys::AllShowing(keys_of_sort_ro, &[KeySpec::one(1, Access::READ), KeySpec::unknown(Access::READ)]),
        key_notes: &["", NAMED_BY_ELEMENTS],
        effect: Propagate::Never,
        args: &[Arg::key("key"), BY, LIMIT, GET, ORDER, ALPHA],
        ..SORT.spec
    },
);

/// The key, and the last one named by STORE.
fn keys_of_sort(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    let mut found = Found::from_slice(&[(1, Access::READ)]);
    let mut at = 2;
    while at < argv.len() {
        let is = |word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
        if is("STORE") && at + 1 < argv.len() {
            found.truncate(1);
            found.push((at + 1, Access::OVERWRITE));
        }
        at += match () {
            () if is("LIMIT") => 3,
            () if is("GET") || is("BY") => 2,
            () => 1,
        };
    }
    Ok(found)
}

fn keys_of_sort_ro(_: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    Ok(Found::from_slice(&[(1, Access::READ)]))
}

/// What leads from an element to another value: the text before and after the element in a key, perhaps a field.
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without `*`: leads nowhere.
    Fixed,
    /// `before*after`, `before*after->field`.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        // Star and arrow are not looked for behind a NUL.
        let Some(star) = until_nul(text).iter().position(|byte| *byte == b'*') else { return Pattern::Fixed };
        let (before, after) = (&text[..star], &text[star + 1..]);
        let seen = until_nul(after);
        let arrow = seen.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < seen.len());
        match arrow {
            Some(at) => Pattern::Key { before, after: &after[..at], field: Some(&after[at + 2..]) },
            None => Pattern::Key { before, after, field: None },
        }
    }

    /// Finds the value for an element and hands it on; `None`: there is none.
    fn look_up<R>(&self, txn: &Txn<'_>, element: &[u8], read: impl FnOnce(Target<'_>) -> R) -> Option<R> {
        let (before, after, field) = match *self {
            Pattern::Element => return Some(read(Target::Str(StrRef::Bytes(element)))),
            Pattern::Fixed => return None,
            Pattern::Key { before, after, field } => (before, after, field),
        };
        let key = [before, element, after].concat();
        match (txn.get(&key)?.value(), field) {
            (ValueRef::Str(text), None) => Some(read(Target::Str(text))),
            (ValueRef::Hash(hash), Some(field)) => {
                let found = hash.get(field).filter(|field| !field.is_due(txn.now_ms()))?;
                Some(read(Target::Field(found.value)))
            }
            _ => None,
        }
    }
}

/// A value that a pattern led to.
enum Target<'v> {
    Str(StrRef<'v>),
    Field(LpValue<'v>),
}

impl Target<'_> {
    fn to_vec(&self) -> Vec<u8> {
        match self {
            Target::Str(text) => text.to_vec(),
            Target::Field(value) => value.to_vec(),
        }
    }
    fn reply(&self, reply: &mut Reply) {
        match *self {
            Target::Str(text) => reply_str(reply, text),
            Target::Field(value) => reply_value(reply, value),
        }
    }
}

/// A request as its words say it.
struct Request<'a> {
    key: &'a [u8],
    desc: bool,
    alpha: bool,
    offset: i64,
    count: i64,
    /// BY, when it names a key for each element.
    by: Option<Pattern<'a>>,
    /// BY without `*`: the elements stay in their order.
    unsorted: bool,
    gets: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(ctx: &Ctx<'a, '_>, may_store: bool) -> Result<Request<'a>> {
        let mut request = Request {
            key: ctx.args.at(1),
            desc: false,
            alpha: false,
            offset: 0,
            count: -1,
            by: None,
            unsorted: false,
            gets: Vec::new(),
            store: None,
        };
        let mut words = ctx.args.cursor(2);
        while !words.is_done() {
            if words.word("ASC") {
                request.desc = false;
            } else if words.word("DESC") {
                request.desc = true;
            } else if words.word("ALPHA") {
                request.alpha = true;
            } else if words.word_with("LIMIT", 2) {
                (request.offset, request.count) = (words.int()?, words.int()?);
            } else if may_store && words.word_with("STORE", 1) {
                request.store = Some(words.take()?);
            } else if words.word_with("BY", 1) {
                let pattern = Pattern::parse(words.take()?);
                if matches!(pattern, Pattern::Key { .. }) && !may_read_all(ctx) {
                    return Err(Error::Text("ERR BY option of SORT denied due to insufficient ACL permissions."));
                }
                // Once a BY has told not to sort, no later one tells otherwise.
                request.unsorted |= !matches!(pattern, Pattern::Key { .. });
                request.by = Some(pattern);
            } else if words.word_with("GET", 1) {
                if !may_read_all(ctx) {
                    return Err(Error::Text("ERR GET option of SORT denied due to insufficient ACL permissions."));
                }
                request.gets.push(Pattern::parse(words.take()?));
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(request)
    }

    /// Which of `len` elements LIMIT leaves.
    fn range(&self, len: usize) -> Range<usize> {
        let len = len as i64;
        let start = self.offset.clamp(0, len);
        let end = if self.count < 0 { len } else { start + self.count.min(len - start) };
        start as usize..end as usize
    }
}

/// Whether the user may read every key: which ones BY and GET lead to, no rule for keys could tell.
fn may_read_all(ctx: &Ctx<'_, '_>) -> bool {
    let Some(user) = &ctx.session.user else { return true };
    if !user.is_restricted() {
        return true;
    }
    let known = ctx.commands.resolve(ctx.args.all());
    known.is_ok_and(|known| user.may_read_all_keys(&Asked::of(ctx.commands, known.index, ctx.args.all())))
}

/// The elements in the order of their type. DESC counts only where nothing is sorted afterwards.
fn elements(txn: &Txn<'_>, request: &Request<'_>) -> Result<Vec<Vec<u8>>> {
    let Some(entry) = txn.get(request.key) else { return Ok(Vec::new()) };
    let backwards = request.unsorted && request.desc;
    match entry.value() {
        ValueRef::List(list) => {
            let mut elements = Vec::with_capacity(list.len());
            list.walk(if backwards { End::Back } else { End::Front }, 0, |value| {
                elements.push(value.to_vec());
                ControlFlow::Continue(())
            });
            Ok(elements)
        }
        ValueRef::Set(set) => Ok(set.iter().map(|member| member.to_vec()).collect()),
        ValueRef::ZSet(zset) if backwards => {
            Ok(zset.iter_back(0..zset.len()).map(|scored| scored.member.to_vec()).collect())
        }
        ValueRef::ZSet(zset) => Ok(zset.iter_all().map(|scored| scored.member.to_vec()).collect()),
        _ => Err(Error::WrongType),
    }
}

/// What an element is sorted by.
enum Weight {
    Number(f64),
    /// With BY and ALPHA; elements without a value come first.
    Text(Option<Vec<u8>>),
    /// The element's own text.
    Itself,
}

/// A number as SORT reads it: an empty text is 0, space before it is skipped, and it ends at a NUL.
fn number(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|byte| !is_space(*byte))?;
    // One that is too small to be kept whole is none.
    parse_f64(&text[start..]).filter(|number| !number.is_subnormal())
}

/// What to sort an element by; none where that should be a number and is not.
fn weigh(txn: &Txn<'_>, request: &Request<'_>, element: &[u8]) -> Option<Weight> {
    match (&request.by, request.alpha) {
        (None, true) => Some(Weight::Itself),
        (None, false) => number(element).map(Weight::Number),
        (Some(by), true) => Some(Weight::Text(by.look_up(txn, element, |value| value.to_vec()))),
        (Some(by), false) => {
            let found = by.look_up(txn, element, |value| number(&value.to_vec()));
            found.unwrap_or(Some(0.0)).map(Weight::Number)
        }
    }
}

/// Equal numbers are ordered by the elements' bytes. `text` tells how much of a text counts: all of it where the result is
/// stored, else what lies before a NUL, as for the C library. Equal texts keep their order.
fn compare(a: &(Weight, Vec<u8>), b: &(Weight, Vec<u8>), text: fn(&[u8]) -> &[u8]) -> Ordering {
    match (&a.0, &b.0) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Text(x), Weight::Text(y)) => x.as_deref().map(text).cmp(&y.as_deref().map(text)),
        _ => text(&a.1).cmp(text(&b.1)),
    }
}

/// The elements sorted and cut.
fn sorted(txn: &Txn<'_>, request: &Request<'_>) -> Result<Vec<Vec<u8>>> {
    let mut elements = elements(txn, request)?;
    let range = request.range(elements.len());
    if !request.unsorted {
        let weighed = elements.into_iter().map(|element| (weigh(txn, request, &element), element));
        // All are looked up, whatever the first ones are: what is missing is told of.
        let weighed: Vec<_> = weighed.collect();
        let weighed = weighed.into_iter().map(|(weight, element)| Some((weight?, element)));
        let bad = Error::Text("ERR One or more scores can't be converted into double");
        let mut weighed = weighed.collect::<Option<Vec<_>>>().ok_or(bad)?;
        let text: fn(&[u8]) -> &[u8] = if request.store.is_some() { |whole| whole } else { until_nul };
        weighed.sort_by(|a, b| if request.desc { compare(b, a, text) } else { compare(a, b, text) });
        elements = weighed.into_iter().map(|(_, element)| element).collect();
    }
    elements.truncate(range.end);
    elements.drain(..range.start);
    Ok(elements)
}

fn sort(ctx: &mut Ctx<'_, '_>) -> Result {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_, '_>) -> Result {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_, '_>, may_store: bool) -> Result {
    let mut request = Request::parse(ctx, may_store)?;
    let is_set = matches!(ctx.txn.peek(request.key).map(|entry| entry.value()), Some(ValueRef::Set(_)));
    if request.unsorted && is_set && (request.store.is_some() || ctx.origin == Origin::Script) {
        // The order of a set is chance: what is kept, or what a script goes on with, must not depend on it.
        (request.unsorted, request.alpha, request.by) = (false, true, None);
    }
    let elements = sorted(ctx.txn, &request)?;
    match request.store {
        Some(target) => store(ctx, &request, target, &elements),
        None => {
            answer(ctx.txn, ctx.reply, &request.gets, &elements);
            Ok(Outcome::Done)
        }
    }
}

fn answer(txn: &Txn<'_>, reply: &mut Reply, gets: &[Pattern<'_>], elements: &[Vec<u8>]) {
    reply.array(elements.len() * gets.len().max(1));
    for element in elements {
        if gets.is_empty() {
            reply.bulk(element);
        }
        for get in gets {
            if get.look_up(txn, element, |value| value.reply(reply)).is_none() {
                reply.null();
            }
        }
    }
}

/// Makes the result a list; values that are missing become empty strings.
fn store(ctx: &mut Ctx<'_, '_>, request: &Request<'_>, target: &[u8], elements: &[Vec<u8>]) -> Result {
    let limits = super::list::limits(ctx.node);
    let mut list = List::new();
    let mut push = |value: &[u8]| list.append(value, &limits);
    for element in elements {
        if request.gets.is_empty() {
            push(element);
        }
        for get in &request.gets {
            push(&get.look_up(ctx.txn, element, |value| value.to_vec()).unwrap_or_default());
        }
    }
    list.settle(&limits);
    let len = list.len();
    if len == 0 {
        ctx.txn.delete_target(target);
    } else {
        let before = ctx.txn.dirty();
        ctx.txn.insert(target, Value::List(list), Deadline::Clear);
        ctx.txn.recount_dirty(before, len as u64);
        ctx.txn.event(Class::LIST, "sortstore", target);
    }
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_c_library_does() {
        let cases: &[(&[u8], Option<f64>)] = &[
            (b"", Some(0.0)),
            (b" 7", Some(7.0)),
            (b"7 ", None),
            (b" ", None),
            (b"-1.5e1", Some(-15.0)),
            (b"3\0x", Some(3.0)),
            (b"foo", None),
            (b"nan", None),
            (b"1e-320", None),
            (b"-inf", Some(f64::NEG_INFINITY)),
        ];
        for (text, want) in cases {
            assert_eq!(number(text), *want, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn patterns_are_taken_apart() {
        let parts = |text: &'static str| match Pattern::parse(text.as_bytes()) {
            Pattern::Element => "#".to_owned(),
            Pattern::Fixed => "fixed".to_owned(),
            Pattern::Key { before, after, field } => format!(
                "{}|{}|{}",
                before.escape_ascii(),
                after.escape_ascii(),
                field.map_or("none".to_owned(), |f| f.escape_ascii().to_string())
            ),
        };
        assert_eq!(parts("#"), "#");
        assert_eq!(parts("nosort"), "fixed");
        assert_eq!(parts("w_*"), "w_||none");
        assert_eq!(parts("w_*_x->f"), "w_|_x|f");
        assert_eq!(parts("w_*->"), "w_|->|none");
        assert_eq!(parts("a->b*"), "a->b||none");
        assert_eq!(parts("a\0*"), "fixed");
        assert_eq!(parts("w_*\0->f"), "w_|\\x00->f|none");
        assert_eq!(parts("w_*->\0f"), "w_|->\\x00f|none");
    }

    #[test]
    fn the_keys_of_a_request_are_its_key_and_the_last_store() {
        let keys = |line: &str| {
            let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            keys_of_sort(&argv).unwrap().into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(keys("SORT a"), [1]);
        assert_eq!(keys("SORT a BY store LIMIT 0 store STORE b ALPHA store c"), [1, 11]);
        assert_eq!(keys("SORT a STORE"), [1]);
    }
}
