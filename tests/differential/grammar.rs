//! The language in which a family lists its commands.
//!
//! ```text
//! SET key val { [NX | XX] [GET] [EX ttl | PX ms | KEEPTTL] }
//! ```
//! - a word in lower case is a placeholder, filled by the family's words; anything else stands for itself, `'a'` for `a`
//! - `[ a ]` perhaps · `( a | b )` one of · `{ a b }` all, in any order · `( a )+` one to four times · `( a )*` none to three
//! - `;` ends a command: several on one line are played together · `same` repeats the line's first key
//! - `3x` in front: three times as likely · `!` in front: never mutated (for commands that could wait or answer without end)

use crate::Family;
use crate::support::random::Random;
use crate::words;

/// A command: its arguments, the name first.
pub type Command = Vec<Vec<u8>>;

/// One line of a family's list, parsed.
pub struct Line {
    weight: u64,
    mutable: bool,
    commands: Vec<Vec<Node>>,
    fill: Fill,
}

/// The words of a family.
type Fill = fn(&str, &mut Random) -> Option<Vec<u8>>;

enum Node {
    Literal(String),
    Placeholder(String),
    Optional(Vec<Vec<Node>>),
    Choice(Vec<Vec<Node>>),
    AnyOrder(Vec<Node>),
    Repeat { node: Box<Node>, least: u64, most: u64 },
}

/// All lines of some families.
pub struct Grammar {
    lines: Vec<Line>,
    total: u64,
}

impl Grammar {
    pub fn of(families: &[&Family]) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for family in families {
            lines.extend(family.commands.iter().map(|line| Line::parse(line, family.words)));
        }
        let total = lines.iter().map(|line| line.weight).sum();
        Grammar { lines, total }
    }

    /// The commands of one line chosen by chance, now and then made wrong.
    pub fn generate(&self, random: &mut Random) -> Vec<Command> {
        let mut ticket = random.below(self.total);
        for line in &self.lines {
            if ticket >= line.weight {
                ticket -= line.weight;
                continue;
            }
            let mut writer = Writer { random, fill: line.fill, first_key: None };
            let mut commands: Vec<Command> = line.commands.iter().map(|nodes| writer.command(nodes)).collect();
            if line.mutable && random.one_in(6) {
                mutate(&mut commands[0], random, line.fill);
            }
            return commands;
        }
        unreachable!("the ticket is below the total")
    }
}

impl Line {
    fn parse(text: &str, fill: Fill) -> Self {
        let (mut weight, mut mutable, mut rest) = (1, true, text);
        if let Some((count, tail)) = rest.split_once("x ").filter(|(count, _)| count.parse::<u64>().is_ok()) {
            (weight, rest) = (count.parse().expect("a weight"), tail);
        }
        if let Some(tail) = rest.strip_prefix('!') {
            (mutable, rest) = (false, tail);
        }
        let commands = rest.split(';').map(|command| Parser::new(command).sequence(text)).collect();
        Line { weight, mutable, commands, fill }
    }
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Self {
        let mut spaced = String::new();
        let mut previous = ' ';
        for letter in text.chars() {
            match letter {
                '[' | ']' | '(' | '{' | '}' | '|' => spaced.extend([' ', letter, ' ']),
                ')' => spaced.extend([' ', letter]),
                '+' | '*' if previous == ')' => spaced.extend([letter, ' ']),
                _ => spaced.push(letter),
            }
            previous = letter;
        }
        Parser { tokens: spaced.split_whitespace().map(str::to_owned).collect(), at: 0 }
    }

    /// Everything up to the end of the text.
    fn sequence(mut self, line: &str) -> Vec<Node> {
        let nodes = self.nodes();
        assert_eq!(self.at, self.tokens.len(), "a bracket is missing in {line:?}");
        nodes
    }

    /// Nodes up to a closing bracket, a bar or the end.
    fn nodes(&mut self) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.get(self.at).cloned() {
            if matches!(token.as_str(), "]" | "}" | "|") || token.starts_with(')') {
                break;
            }
            self.at += 1;
            nodes.push(self.node(&token));
        }
        nodes
    }

    fn node(&mut self, token: &str) -> Node {
        match token {
            "[" => Node::Optional(self.choices("]").0),
            "{" => {
                let nodes = self.nodes();
                self.expect("}");
                Node::AnyOrder(nodes)
            }
            "(" => {
                let (choices, closing) = self.choices(")");
                repeated(Node::Choice(choices), closing.chars().nth(1))
            }
            _ => match token.strip_suffix(['+', '*']).filter(|name| !name.is_empty()) {
                Some(name) => repeated(leaf(name), token.chars().last()),
                None => leaf(token),
            },
        }
    }

    /// The alternatives up to the closing bracket, and that bracket with its suffix.
    fn choices(&mut self, closing: &str) -> (Vec<Vec<Node>>, String) {
        let mut choices = vec![self.nodes()];
        while self.tokens.get(self.at).is_some_and(|token| token == "|") {
            self.at += 1;
            choices.push(self.nodes());
        }
        (choices, self.expect(closing))
    }

    fn expect(&mut self, closing: &str) -> String {
        let token = self.tokens.get(self.at).cloned().unwrap_or_default();
        assert!(token.starts_with(closing), "expected {closing} in {:?}, found {token:?}", self.tokens);
        self.at += 1;
        token
    }
}

fn leaf(token: &str) -> Node {
    match token.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        true => Node::Placeholder(token.to_owned()),
        false => Node::Literal(token.trim_matches('\'').to_owned()),
    }
}

fn repeated(node: Node, suffix: Option<char>) -> Node {
    match suffix {
        Some('+') => Node::Repeat { node: Box::new(node), least: 1, most: 4 },
        Some('*') => Node::Repeat { node: Box::new(node), least: 0, most: 3 },
        _ => node,
    }
}

/// Fills a line with words.
struct Writer<'a> {
    random: &'a mut Random,
    fill: Fill,
    first_key: Option<Vec<u8>>,
}

impl Writer<'_> {
    fn command(&mut self, nodes: &[Node]) -> Command {
        let mut command = Vec::new();
        self.all(nodes, &mut command);
        command
    }

    fn all(&mut self, nodes: &[Node], command: &mut Command) {
        nodes.iter().for_each(|node| self.one(node, command));
    }

    fn one(&mut self, node: &Node, command: &mut Command) {
        match node {
            Node::Literal(text) => command.push(text.clone().into_bytes()),
            Node::Placeholder(name) => command.push(self.word(name)),
            Node::Optional(choices) if self.random.one_in(2) => {
                let chosen = self.random.pick(choices);
                self.all(chosen, command);
            }
            Node::Optional(_) => {}
            Node::Choice(choices) => {
                let chosen = self.random.pick(choices);
                self.all(chosen, command);
            }
            Node::AnyOrder(nodes) => {
                let mut order: Vec<&Node> = nodes.iter().collect();
                self.random.shuffle(&mut order);
                order.into_iter().for_each(|node| self.one(node, command));
            }
            Node::Repeat { node, least, most } => {
                let times = least + self.random.below(most - least + 1);
                (0..times).for_each(|_| self.one(node, command));
            }
        }
    }

    fn word(&mut self, name: &str) -> Vec<u8> {
        if name == "same" {
            return self.first_key.clone().expect("a key stands before `same`");
        }
        let word = (self.fill)(name, self.random).or_else(|| words::common(name, self.random));
        let word = word.unwrap_or_else(|| panic!("no words for the placeholder {name:?}"));
        if name.ends_with("key") && self.first_key.is_none() {
            self.first_key = Some(word.clone());
        }
        word
    }
}

/// Makes a command wrong, or at least unusual.
fn mutate(command: &mut Command, random: &mut Random, fill: Fill) {
    let odd = |random: &mut Random| fill("odd", random).unwrap_or_else(|| words::odd(random));
    let last = command.len() as u64 - 1;
    let at = 1 + random.below(last.max(1)) as usize;
    if at >= command.len() {
        command.push(odd(random));
        return;
    }
    match random.below(7) {
        0 => drop(command.remove(at)),
        1 => command.insert(at, command[at].clone()),
        2 if at + 1 < command.len() => command.swap(at, at + 1),
        3 => command.insert(at, odd(random)),
        4 => command.push(odd(random)),
        5 => command[at].make_ascii_lowercase(),
        _ => command[at] = odd(random),
    }
}
