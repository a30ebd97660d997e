//! Rules of users: any bytes for a file of users, and any words for the rules of one. Whatever is taken can be written
//! down and read back the same, by the file and by the configuration, and judges without a panic.

#![no_main]

use larder::acl::file::{self, Declared};
use larder::acl::rule::{Rules, gather};
use larder::acl::selector::Asked;
use larder::acl::user::User;
use larder::base::bytes::split_args;
use larder::command::CommandTable;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn rules() -> Rules<'static> {
    static TABLE: OnceLock<CommandTable> = OnceLock::new();
    let commands = TABLE.get_or_init(|| CommandTable::new(&[]).expect("nothing is renamed"));
    Rules { commands, open_channels: false }
}

fn read_back(user: &User) {
    let text = file::write([user]);
    let again = file::read(&text, "users.acl", rules()).expect("what was written");
    assert_eq!(again, std::slice::from_ref(user), "{}", text.escape_ascii());
    let line = file::config_line(user);
    let words = split_args(&line).expect("quotes that pair");
    let declared = Declared::read(&words, &[], rules()).expect("what was written");
    assert_eq!(&declared.user(rules()).expect("what was written"), user, "{}", line.escape_ascii());
}

fn judge(user: &User) {
    let requests: [&[&[u8]]; 5] = [
        &[b"GET", b"key"],
        &[b"MGET", b"", b"a"],
        &[b"PUBLISH", b"news", b""],
        &[b"SELECT"],
        &[b"EVAL", b"", b"9", b"k"],
    ];
    for request in requests {
        let command = rules().commands.named(request[0]).expect("a command");
        let asked = Asked::of(rules().commands, command, request);
        if let Err(denied) = user.check(&asked) {
            let _ = denied.text(user, rules().commands.name(command), request, true);
        }
        assert!(user.is_restricted() || user.check(&asked).is_ok());
    }
}

fuzz_target!(|text: &[u8]| {
    for user in file::read(text, "users.acl", rules()).unwrap_or_default() {
        read_back(&user);
        judge(&user);
    }
    let words: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let Ok(words) = gather(&words) else { return };
    let mut user = rules().new_user(b"someone");
    for word in words {
        if rules().apply(&mut user, &word).is_err() {
            return;
        }
    }
    read_back(&user);
    judge(&user);
});
