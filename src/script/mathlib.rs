//! `math.random` and `math.randomseed` with the generator of Redis, so that a seed gives the sequence scripts know.
//!
//! It is the 48-bit linear congruential generator of the C library's `lrand48`: x' = (0x5DEECE66D x + 11) mod 2^48, of
//! which the upper 31 bits are used. A seed s starts at s * 2^16 + 0x330E.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table};

use super::error::at_caller;
use super::params::{Natives, Params};

struct Generator {
    state: Cell<u64>,
}

impl Generator {
    fn seed(&self, seed: u32) {
        self.state.set(u64::from(seed) << 16 | 0x330E);
    }

    /// The next number in [0, 1).
    fn unit(&self) -> f64 {
        const MAX: u64 = i32::MAX as u64;
        let next = self.state.get().wrapping_mul(0x5_DEEC_E66D).wrapping_add(11) & 0xFFFF_FFFF_FFFF;
        self.state.set(next);
        ((next >> 17) % MAX) as f64 / MAX as f64
    }
}

/// Puts both natives into `table`. `seed` starts the generator.
pub(super) fn install(lua: &Lua, natives: &Natives, table: &Table, seed: u64) -> mlua::Result<()> {
    let generator = Rc::new(Generator { state: Cell::new(0) });
    generator.seed(seed as u32);
    let shared = Rc::clone(&generator);
    table.raw_set("random", natives.function(lua, move |params| random(&shared, &params))?)?;
    let randomseed = natives.function(lua, move |params| {
        generator.seed(params.integer(0)? as u32);
        Ok(())
    })?;
    table.raw_set("randomseed", randomseed)
}

fn random(generator: &Generator, params: &Params<'_>) -> mlua::Result<f64> {
    let unit = generator.unit();
    let bound = |index| params.integer(index).map(|value| f64::from(value as i32));
    match params.len() {
        0 => Ok(unit),
        1 => {
            let upper = bound(0)?;
            if upper < 1.0 {
                return Err(params.error(0, "interval is empty"));
            }
            Ok((unit * upper).floor() + 1.0)
        }
        2 => {
            let (lower, upper) = (bound(0)?, bound(1)?);
            if lower > upper {
                return Err(params.error(1, "interval is empty"));
            }
            Ok((unit * (upper - lower + 1.0)).floor() + lower)
        }
        _ => Err(at_caller(params.lua, "wrong number of arguments")),
    }
}
