//! Checks of single texts beyond their kind. The refusals are Redis'.

use crate::config::table::title;

pub(super) fn append_file_name(value: &[u8]) -> Result<(), &'static str> {
    match value {
        b"" => Err("appendfilename can't be empty"),
        _ if value.contains(&b'/') => Err("appendfilename can't be a path, just a filename"),
        _ => Ok(()),
    }
}

pub(super) fn append_dir_name(value: &[u8]) -> Result<(), &'static str> {
    match value {
        b"" => Err("appenddirname can't be empty"),
        _ if value.contains(&b'/') => Err("appenddirname can't be a path, just a dirname"),
        _ => Ok(()),
    }
}

pub(super) fn db_file_name(value: &[u8]) -> Result<(), &'static str> {
    if value.contains(&b'/') { Err("dbfilename can't be a path, just a filename") } else { Ok(()) }
}

pub(super) fn announced_hostname(value: &[u8]) -> Result<(), &'static str> {
    const HOSTNAME_MAX: usize = 256;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match value.iter().all(plain) {
        _ if value.len() >= HOSTNAME_MAX => Err("Hostnames must be less than 256 characters"),
        false => Err("Hostnames may only contain alphanumeric characters, hyphens or dots"),
        true => Ok(()),
    }
}

pub(super) fn announced_nodename(value: &[u8]) -> Result<(), &'static str> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\'' | b'#');
    if value.iter().all(visible) { Ok(()) } else { Err("Announced human node name contained invalid character") }
}

pub(super) fn title_template(value: &[u8]) -> Result<(), &'static str> {
    let valid = std::str::from_utf8(value).ok().and_then(|template| title::expand(template, |_| String::new()));
    match (value, valid) {
        (b"", _) | (_, None) => Err("template format is invalid or contains unknown variables"),
        _ => Ok(()),
    }
}

/// SORT ALPHA compares bytes here, so only locales that do the same are taken.
pub(super) fn locale(value: &[u8]) -> Result<(), &'static str> {
    match value {
        b"" | b"C" | b"POSIX" | b"C.UTF-8" | b"C.utf8" => Ok(()),
        _ => Err("Invalid locale name"),
    }
}
