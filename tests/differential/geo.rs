//! Positions on the earth.

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "geo",
    setup: words::SETUP,
    probes: &["TYPE key", "ZRANGE key 0 -1 WITHSCORES"],
    audited: true,
    words: own,
    commands: &[
        "8x GEOADD key ( lon lat place )+",
        "2x GEOADD key { [NX | XX] [CH] } lon lat place",
        "2x GEODIST key place place [unit]",
        "GEOHASH key place*",
        "GEOPOS key place*",
        "4x GEOSEARCH key { ( FROMMEMBER place | FROMLONLAT lon lat ) ( BYRADIUS size unit | BYBOX size size unit ) [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH] }",
        "2x GEOSEARCH key FROMLONLAT lon lat BYRADIUS size unit ( ASC | DESC ) WITHDIST WITHCOORD WITHHASH",
        "2x GEOSEARCHSTORE key key { ( FROMMEMBER place | FROMLONLAT lon lat ) ( BYRADIUS size unit | BYBOX size size unit ) [ASC] [COUNT count] [STOREDIST] }",
        "2x GEORADIUS key lon lat size unit { [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] }",
        "GEORADIUS key lon lat size unit ( STORE | STOREDIST ) key",
        "GEORADIUS_RO key lon lat size unit [ASC | DESC] [STORE key]",
        "2x GEORADIUSBYMEMBER key place size unit { [WITHCOORD] [WITHDIST] [COUNT count] [ASC | DESC] }",
        "GEORADIUSBYMEMBER_RO key place size unit [WITHDIST]",
        "GEOSEARCH key { ( FROMMEMBER place | FROMLONLAT lon lat | FROMMEMBER place FROMLONLAT lon lat ) [BYRADIUS size unit] [BYBOX size size unit] [COUNT odd [ANY]] [ANY] [odd] }",
        "GEOSEARCHSTORE key key { FROMMEMBER place BYRADIUS size unit [WITHDIST] [STOREDIST] [COUNT odd] }",
        "GEORADIUS key lon lat size unit { [WITHDIST] [STORE key] [STOREDIST key] [ANY] [COUNT odd] }",
        "GEOADD key { [NX] [XX] [CH] } odd odd place",
        "ZADD key score place",
        "ZREM key place",
        "DEL key",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    if matches!(name, "lon" | "lat") && !random.one_in(8) {
        let range = if name == "lon" { 180_000_000 } else { 85_000_000 };
        return Some(format!("{}", random.between(-range, range) as f64 / 1e6).into_bytes());
    }
    let pool: &[&str] = match name {
        "lon" => &[
            "13.361389",
            "15.087269",
            "180",
            "-180",
            "180.1",
            "0",
            "179.999999",
            "-179.999999",
            "nan",
            "abc",
            "2.3522",
        ],
        "lat" => {
            &["38.115556", "37.502669", "85.05112878", "-85.05112878", "85.06", "0", "inf", "90", "48.8566", "-0.0001"]
        }
        "place" => &["Palermo", "Catania", "Roma", "Paris", "Null Island", "x"],
        "unit" => &["m", "km", "ft", "mi", "KM", "parsec"],
        "size" => &["1", "100", "200", "1000", "5000", "10000", "0", "-1", "1e7", "abc", "20000000"],
        "score" => &["0", "3479099956230698", "-1", "1e16", "4503599627370495", "1.5"],
        _ => return None,
    };
    Some(random.pick(pool).as_bytes().to_vec())
}
