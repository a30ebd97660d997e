//! What PFSELFTEST does: the register packing on random values, then the error of the estimate over growing
//! cardinalities, sparse and dense side by side.

use super::{HEADER_LEN, REGISTERS, add, count, create, dense, to_dense};

const CYCLES: usize = 1000;
/// The standard error of 16384 registers.
const STANDARD_ERROR: f64 = 1.04 / 128.0;
/// While the cardinality is below this the sparse string is checked as well.
const SPARSE_CARDINALITY_MAX: u64 = 1500;

/// Runs the test over `elements` elements derived from `seed`; the error is the text after `TESTFAILED `.
pub fn selftest(seed: u64, elements: u64) -> Result<(), String> {
    packing(seed)?;
    estimates(seed, elements)
}

fn packing(seed: u64) -> Result<(), String> {
    let mut bytes = create();
    to_dense(&mut bytes).expect("a new one is sound");
    let registers = &mut bytes[HEADER_LEN..];
    let mut random = seed | 1;
    let mut model = vec![0; REGISTERS];
    for _ in 0..CYCLES {
        for (register, value) in model.iter_mut().enumerate() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *value = (random >> 58) as u8;
            dense::set(registers, register, *value);
        }
        for (register, value) in model.iter().enumerate() {
            let got = dense::get(registers, register);
            if got != *value {
                return Err(format!("Register {register} should be {value} but is {got}"));
            }
        }
    }
    Ok(())
}

fn estimates(seed: u64, elements: u64) -> Result<(), String> {
    let (mut dense, mut sparse) = (create(), create());
    to_dense(&mut dense).expect("a new one is sound");
    let mut checkpoint = 1;
    for element in 1..=elements {
        let bytes = (element ^ seed).to_le_bytes();
        add(&mut dense, &bytes, 0).expect("sound since its creation");
        if element <= SPARSE_CARDINALITY_MAX {
            add(&mut sparse, &bytes, usize::MAX).expect("sound since its creation");
        }
        if element != checkpoint {
            continue;
        }
        let estimate = count(&dense).expect("sound since its creation");
        if element <= SPARSE_CARDINALITY_MAX && count(&sparse) != Ok(estimate) {
            return Err("dense/sparse disagree".to_string());
        }
        check_error(checkpoint, estimate)?;
        checkpoint *= 10;
    }
    Ok(())
}

/// Six standard errors are allowed; at ten elements one collision alone is more than that, and allowed as well.
fn check_error(cardinality: u64, estimate: u64) -> Result<(), String> {
    let error = cardinality.abs_diff(estimate);
    let allowed = if cardinality == 10 { 1 } else { (STANDARD_ERROR * 6.0 * cardinality as f64).ceil() as u64 };
    match error <= allowed {
        true => Ok(()),
        false => Err(format!("Too big error. card:{cardinality} abserr:{error}")),
    }
}
