//! Rules with the real table of commands: what is taken, how it is shown again, and what it lets through.

use crate::acl::Acl;
use crate::acl::file::{self, Declared};
use crate::acl::rule::{Fault, Rules, gather};
use crate::acl::selector::{Asked, Denied};
use crate::acl::user::{DEFAULT, User};
use crate::base::bytes::split_args;
use crate::command::CommandTable;
use std::sync::Arc;

fn table() -> CommandTable {
    CommandTable::new(&[]).expect("nothing is renamed")
}

fn try_user(table: &CommandTable, line: &str) -> Result<User, Fault> {
    let rules = Rules { commands: table, open_channels: false };
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut user = rules.new_user(b"u");
    for word in gather(&words).map_err(|_| Fault::Syntax)? {
        rules.apply(&mut user, &word)?;
    }
    Ok(user)
}

fn user(line: &str) -> User {
    try_user(&table(), line).unwrap_or_else(|fault| panic!("{line}: {fault}"))
}

fn shown(line: &str) -> String {
    to_text(&user(line).rules())
}

fn judge(user: &User, line: &str) -> Result<(), Denied> {
    let table = table();
    let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let known = table.resolve(&argv).expect("a command");
    user.check(&Asked::of(&table, known.index, &argv))
}

fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands of a rule list, as ACL GETUSER shows them.
#[test]
fn rules_for_commands_stay_in_order_and_say_nothing_twice() {
    let cases = [
        ("", "-@all"),
        ("+@all", "+@all"),
        ("+@all -@hash -@slow +hget -@hash", "+@all -@slow +hget -@hash"),
        ("+@all -@slow +hget +@hash -@all", "-@all"),
        ("-@string -@slow +@all", "+@all"),
        ("+@HASH +@hash +@HaSh", "-@all +@hash"),
        ("+HGET +hget", "-@all +hget"),
        ("+hget -hset +hset -hget", "-@all +hset -hget"),
        ("+client|list +client|list +config|get +config +acl|list -acl", "-@all +client|list +config -acl"),
        ("+select|0 +SELECT|0 +debug|segfault +debug", "-@all +select|0 +debug"),
        ("+config +config|get -config|set +config", "-@all +config"),
        ("-@dangerous", "-@all -@dangerous"),
        ("+@all +client|id", "+@all +client|id"),
        // What only begins alike is something else.
        ("+set +setex +setnx -set", "-@all +setex +setnx -set"),
    ];
    for (line, want) in cases {
        assert_eq!(to_text(&user(line).root.command_rules().join(&b' ')), want, "{line}");
    }
}

#[test]
fn what_is_shown_makes_the_same_user() {
    let lines = [
        "on nopass ~* &* +@all",
        "off >a >b %R~x %W~y %RW~z &c +@read -get +config|get +select|0",
        "on skip-sanitize-payload (~a +get) (%R~b &c resetchannels +@all -@dangerous) allkeys",
        "~\"quoted ~it's &x\" (~\\\"q +get)",
        "+select|0 +select|1 +select|0",
    ];
    for line in lines {
        let before = user(line);
        let after = user(&to_text(&before.rules()));
        assert_eq!(after, before, "{line}");
        let table = table();
        let rules = Rules { commands: &table, open_channels: false };
        let words = split_args(&file::config_line(&before)).expect("quotes that pair");
        let declared = Declared::read(&words, &[], rules).expect("it was right before");
        assert_eq!(declared.user(rules).expect("it was right before"), before, "{line}");
    }
    assert_eq!(shown("on nopass"), "on nopass sanitize-payload resetchannels -@all");
    assert_eq!(shown("%R~a %W~a %W~b"), "off sanitize-payload ~a %W~b resetchannels -@all");
}

#[test]
fn wrong_rules_are_told_apart() {
    let cases = [
        ("%RW", Fault::Syntax),
        ("%", Fault::Syntax),
        ("%~a", Fault::Syntax),
        ("%RR~a", Fault::Syntax),
        ("(%R)", Fault::Syntax),
        ("(", Fault::Syntax),
        ("((+get))", Fault::Syntax),
        ("(on)", Fault::Syntax),
        ("+get|", Fault::Syntax),
        ("+get|a\nb", Fault::Syntax),
        ("~a\nb", Fault::Syntax),
        ("&a\x0bb", Fault::Syntax),
        ("+", Fault::Unknown),
        ("-", Fault::Unknown),
        ("+@", Fault::Unknown),
        ("+config|", Fault::Syntax),
        ("-config|", Fault::Unknown),
        ("-get|a", Fault::Unknown),
        ("+config|get|a", Fault::FirstArgOfSubcommand),
        ("~* ~a", Fault::AllKeys),
        ("~* %x", Fault::AllKeys),
        ("&* &a", Fault::AllChannels),
        ("<none", Fault::NoSuchPassword),
        ("#12", Fault::BadHash),
    ];
    for (line, want) in cases {
        assert_eq!(try_user(&table(), line).err(), Some(want), "{line:?}");
    }
}

#[test]
fn a_category_takes_the_subcommands_of_its_containers_along() {
    let slow = user("+@slow");
    assert_eq!(judge(&slow, "CONFIG GET x"), Ok(()));
    let narrow = user("+@all -config +config|get");
    assert_eq!(judge(&narrow, "CONFIG GET x"), Ok(()));
    assert_eq!(judge(&narrow, "CONFIG SET x y"), Err(Denied::Command));
    // Who needs no user needs no right either.
    assert_eq!(judge(&user(""), "AUTH x"), Ok(()));
    assert_eq!(judge(&user(""), "HELLO 3"), Ok(()));
}

#[test]
fn first_arguments_do_not_depend_on_case_and_go_with_their_command() {
    let one = user("+select|0 +ping|Hello");
    assert_eq!(judge(&one, "SELECT 0"), Ok(()));
    assert_eq!(judge(&one, "SELECT 1"), Err(Denied::Command));
    assert_eq!(judge(&one, "PING HELLO"), Ok(()));
    assert_eq!(judge(&one, "PING"), Err(Denied::Command), "there is no first argument");
    assert_eq!(judge(&user("+select|0 -select"), "SELECT 0"), Err(Denied::Command));
    assert_eq!(judge(&user("+select|0 -@all"), "SELECT 0"), Err(Denied::Command));
}

/// Of several selectors the refusal of the one counts that the request came furthest with.
#[test]
fn the_refusal_is_the_one_furthest_in_the_request() {
    let several = user("~a +mget (~a ~b +mget) (+publish &x) (+spublish ~nothing)");
    assert_eq!(judge(&several, "GET a"), Err(Denied::Command));
    assert_eq!(judge(&several, "MGET a b"), Ok(()));
    assert_eq!(judge(&several, "MGET b c"), Err(Denied::Key(2)));
    assert_eq!(judge(&several, "MGET a b c"), Err(Denied::Key(3)));
    assert_eq!(judge(&several, "PUBLISH y m"), Err(Denied::Channel(1)));
}

#[test]
fn who_may_do_everything_is_not_judged() {
    let cases = [
        ("on nopass ~* &* +@all", false),
        ("allkeys allchannels allcommands", false),
        ("(allkeys allchannels +@all)", false),
        ("~* &* +@all -get +get", false),
        ("~* +@all", true),
        ("&* +@all", true),
        ("~* &* +@all -get", true),
        ("%RW~* &* +@all", true),
        ("~* (&* +@all)", true),
        ("", true),
    ];
    for (line, restricted) in cases {
        assert_eq!(user(line).is_restricted(), restricted, "{line}");
    }
    assert!(!User::open().is_restricted());
}

#[test]
fn channels_are_lost_only_with_a_pattern() {
    let lost = |old: &str, new: &str| user(new).lost_channels(&user(old));
    assert!(!lost("&a &b", "&b &a &c"));
    assert!(!lost("&a", "&*"));
    assert!(!lost("&a (&b)", "(&a &b)"));
    assert!(lost("&a &b", "&a"));
    assert!(lost("&*", "&a*"));
    assert!(lost("(&*)", "&a"));
    assert!(lost("&a", "&a*"), "the words are compared, not what they mean");
}

#[test]
fn the_default_user_needs_its_password_once_it_has_one() {
    let acl = Acl::default();
    let log_in = |name: &str, password: &str| acl.log_in(name.as_bytes(), password.as_bytes(), |_| ()).is_some();
    assert!(acl.initial().is_some());
    assert!(log_in("default", "anything"));
    acl.require_password(b"secret");
    assert!(acl.initial().is_none());
    assert!(!log_in("default", "Secret"));
    assert!(!log_in("django", "secret"));
    assert!(log_in("default", "secret"));
    acl.require_password(b"");
    assert!(acl.initial().is_some());
}

#[test]
fn users_that_stay_the_same_stay() {
    let acl = Acl::default();
    acl.put(Arc::new(user("on ~a")));
    let before = acl.user(b"u").expect("it is there");
    acl.replace(vec![user("on ~a")]);
    assert!(Arc::ptr_eq(&before, &acl.user(b"u").expect("it is there")));
    assert!(acl.remove(DEFAULT).is_none() && acl.user(DEFAULT).is_some());
    let old = acl.replace(vec![]);
    assert_eq!(old.len(), 2);
    assert_eq!(acl.all().len(), 1, "there is always a default user");
}
