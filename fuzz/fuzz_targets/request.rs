//! The request parser: however the bytes are cut, the same requests and the same error come out; and what takes ordinary
//! requests past the parser finds what the parser would have found, and leaves the rest to it.
//!
//! The first bytes of the input say where to cut; the rest is the wire. Big arguments go through their own buffers, as
//! in a connection.

#![no_main]

use bytes::Bytes;
use larder::resp::request::{Limits, Parser, ProtocolError, Step};
use larder::resp::whole::{Words, whole};
use libfuzzer_sys::fuzz_target;

type Requests = Vec<Vec<Vec<u8>>>;

fuzz_target!(|input: (Vec<u8>, bool, &[u8])| {
    let (cuts, unauthenticated, wire) = input;
    let limits = Limits { unauthenticated, bulk_len_max: 1 << 20 };
    let parsed = feed(wire, &[], &limits);
    let pieces = feed(wire, &cuts, &limits);
    assert_eq!(parsed, pieces);
    if !unauthenticated {
        let (mut found, mut at) = (Requests::new(), 0);
        let mut words = Words::new();
        while let Some(end) = whole(wire, at, &mut words) {
            found.push(words.drain(..).map(<[u8]>::to_vec).collect());
            at = end;
        }
        let (rest, error) = feed(&wire[at..], &[], &limits);
        found.extend(rest);
        assert_eq!(parsed, (found, error));
    }
});

/// Parses `wire` in pieces of the given lengths, and the rest in one.
fn feed(wire: &[u8], cuts: &[u8], limits: &Limits) -> (Requests, Option<ProtocolError>) {
    let mut feeder = Feeder { parser: Parser::new(), buf: Vec::new(), bulk: None, out: Vec::new() };
    let mut rest = wire;
    for cut in cuts {
        let (piece, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
        rest = tail;
        if let Err(error) = feeder.take(piece, limits) {
            return (feeder.out, Some(error));
        }
    }
    let error = feeder.take(rest, limits).err();
    (feeder.out, error)
}

struct Feeder {
    parser: Parser,
    buf: Vec<u8>,
    /// A big argument so far, and its length.
    bulk: Option<(Vec<u8>, usize)>,
    out: Requests,
}

impl Feeder {
    fn take(&mut self, mut piece: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
        loop {
            if let Some((mut body, len)) = self.bulk.take() {
                let (head, tail) = piece.split_at(piece.len().min(len - body.len()));
                body.extend_from_slice(head);
                piece = tail;
                if body.len() < len {
                    self.bulk = Some((body, len));
                    return Ok(());
                }
                self.parser.give_bulk(Bytes::from(body));
            } else {
                self.buf.extend_from_slice(piece);
                piece = &[];
            }
            self.requests(limits)?;
            if piece.is_empty() && self.bulk.is_none() {
                return Ok(());
            }
        }
    }

    fn requests(&mut self, limits: &Limits) -> Result<(), ProtocolError> {
        loop {
            match self.parser.next(&self.buf, limits)? {
                Step::Request(request) => {
                    let args = self.parser.args(&request, &self.buf);
                    assert!(!args.is_empty());
                    self.out.push(args.iter().map(<[u8]>::to_vec).collect());
                    self.buf.drain(..self.parser.consumed());
                }
                Step::NeedMore => {
                    self.buf.drain(..self.parser.consumed());
                    return Ok(());
                }
                Step::NeedBulk { start, len } => {
                    assert!(self.buf.len() - start < len);
                    self.bulk = Some((self.buf.split_off(start), len));
                    return Ok(());
                }
            }
        }
    }
}
