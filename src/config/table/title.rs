//! The template of the process title: `{name}` stands for a value, `{{` for a brace.

/// The names a template may use.
const NAMES: [&str; 7] = ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

/// `template` with every name replaced by its value, or `None` when a brace does not close or a name is not known.
pub fn expand(template: &str, value: impl Fn(&str) -> String) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let (name, after) = rest.split_once('}')?;
        out.push_str(&value(NAMES.into_iter().find(|known| *known == name)?));
        rest = after;
    }
    out.push_str(rest);
    Some(out.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let cases = [
            ("{title} {listen-addr} {server-mode}", Some("<title> <listen-addr> <server-mode>")),
            ("a {{b} {port}", Some("a {b} <port>")),
            ("--my--title", Some("--my--title")),
            ("{foo}", None),
            ("x {title", None),
        ];
        for (template, want) in cases {
            assert_eq!(expand(template, |name| format!("<{name}>")).as_deref(), want, "{template}");
        }
    }
}
