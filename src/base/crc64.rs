//! CRC64 of RDB files and DUMP payloads: the "Jones" polynomial, reflected, start and final exclusive-or 0.
//!
//! It runs over whole files, so it takes eight bytes a step with eight tables ("slicing by 8", Kounavis and Berry 2008).

/// CRC64 of a whole text.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc64_update(0, bytes)
}

/// CRC64 continued: `crc` is that of everything before, 0 at the start.
pub fn crc64_update(crc: u64, bytes: &[u8]) -> u64 {
    let mut crc = crc;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = TABLES[7][usize::from(mixed[0])]
            ^ TABLES[6][usize::from(mixed[1])]
            ^ TABLES[5][usize::from(mixed[2])]
            ^ TABLES[4][usize::from(mixed[3])]
            ^ TABLES[3][usize::from(mixed[4])]
            ^ TABLES[2][usize::from(mixed[5])]
            ^ TABLES[1][usize::from(mixed[6])]
            ^ TABLES[0][usize::from(mixed[7])];
    }
    tail.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
}

static TABLES: [[u64; 256]; 8] = tables();

/// 0xad93d23594c935a9 with its bits in reverse order.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// Table `n` advances a byte by `n` further zero bytes.
const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u64 = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(POLYNOMIAL, 0xad93_d235_94c9_35a9u64.reverse_bits());
    }

    #[test]
    fn it_may_be_fed_in_pieces() {
        let text: Vec<u8> = (0..1000u32).map(|at| (at * 7) as u8).collect();
        let whole = crc64(&text);
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            assert_eq!(crc64_update(crc64(&text[..cut]), &text[cut..]), whole, "cut at {cut}");
        }
    }
}
