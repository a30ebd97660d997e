//! SORT and its external keys.

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "sort",
    setup: &[
        "MSET w:a 3 w:b 1 w:c 2 w:1 30 w:2 20 w:3 10 o:a apple o:b banana o:1 one o:2 two",
        "HSET h:a name anna w 2",
        "HSET h:b name bert w 1",
        "HSET h:1 name uno w 5",
        "SET a:string hello",
        "HSET a:hash f v",
        "RPUSH a:list a b c 1 2 3",
        "SADD a:set 1 2 3",
        "ZADD a:zset 1 a 2 b 3 c",
    ],
    probes: &["TYPE key", "LRANGE key 0 -1"],
    audited: true,
    words: own,
    commands: &[
        "3x RPUSH key elem+",
        "3x RPUSH key int+",
        "2x RPUSH key ( 1 | 2 | 3 | 'a' | 'b' | 'c' )+",
        "6x SORT key { [BY by] [LIMIT idx idx] [GET get] [GET get] [ASC | DESC] }",
        "2x SORT key { BY by [GET get] [GET get] [ASC | DESC] ALPHA }",
        "3x SORT key ALPHA [DESC] [LIMIT idx idx]",
        "2x SORT ( 'a:list' | 'a:set' | 'a:zset' ) ALPHA { [GET get] [DESC] [LIMIT idx idx] }",
        "2x SORT 'a:zset' { BY 'nosort' [ASC | DESC] [LIMIT idx idx] [GET get] }",
        "2x SORT key { [BY by] [GET get] } STORE key",
        "SORT_RO key { [BY by] [GET get] [STORE key] }",
        "SORT key { [BY by] [BY by] [LIMIT odd odd] [GET get] [ALPHA] [ASC] [DESC] [STORE same] }",
        "SORT key LIMIT odd odd ALPHA",
        "SORT key ( LIMIT idx idx )+ ( GET get )+ ( BY by )+",
        "SORT key { [LIMIT idx idx] [ALPHA] [DESC] } STORE same",
        "DEL key",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    if name == "odd" {
        // After a number out of range the original takes an empty text for one too.
        let in_range = |word: &Vec<u8>| !word.starts_with(b"1e400") && !word.starts_with(b"1e-400");
        return Some(std::iter::repeat_with(|| words::odd(random)).find(in_range).expect("there are others"));
    }
    if name == "key" {
        let odd = random.one_in(12).then(|| random.pick(&["a:string", "a:hash", "a:list", ""]).as_bytes().to_vec());
        return Some(odd.unwrap_or_else(|| format!("k{}", random.between(1, 6)).into_bytes()));
    }
    let pool: &[&str] = match name {
        "by" => &[
            "w:*",
            "h:*->w",
            "nosort",
            "o:*",
            "h:*->",
            "gone:*",
            "*",
            "w:*->w",
            "*->w",
            "*->",
            "h:*->w->w",
            "w:**",
            "*:*",
        ],
        "get" => &[
            "#",
            "o:*",
            "h:*->name",
            "gone:*",
            "h:*->gone",
            "*",
            "nostar",
            "h:*->",
            "*->name",
            "##",
            "",
            "h:*->w->x",
            "o:**",
        ],
        _ => return None,
    };
    Some(random.pick(pool).as_bytes().to_vec())
}
