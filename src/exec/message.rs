//! Messages between a worker and its runner: requests one way, pieces of output and outcomes the other, each behind its
//! length.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::Duration;

use super::{Ending, Input, Outcome, Request};

/// Bytes of a message at the most: more than the arguments of a program may have.
const MOST: usize = 64 << 20;

/// What a runner says of the program that it runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report<'a> {
    /// It has printed this.
    Out(&'a [u8]),
    /// It has said this on standard error: whole lines.
    Err(&'a [u8]),
    /// It is over.
    Done(Outcome),
}

const OUT: u8 = 1;
const ERR: u8 = 2;
const DONE: u8 = 3;

/// Kinds of [`Ending`].
const EXITED: u8 = 0;
const KILLED: u8 = 1;
const NOT_STARTED: u8 = 2;
const TIMED_OUT: u8 = 3;
const TOO_LONG: u8 = 4;
const STOPPED: u8 = 5;
const UNFED: u8 = 6;

/// Kinds of [`Input`].
const NOTHING: u64 = 0;
const PARTS: u64 = 1;

/// What is no message of this kind.
fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that makes no sense")
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_list(out: &mut Vec<u8>, list: &[Vec<u8>]) {
    out.extend_from_slice(&(list.len() as u64).to_le_bytes());
    list.iter().for_each(|bytes| put_bytes(out, bytes));
}

fn put_input(out: &mut Vec<u8>, input: &Input) {
    let mut put = |number: u64| out.extend_from_slice(&number.to_le_bytes());
    match input {
        Input::Nothing => put(NOTHING),
        Input::Parts(parts) => {
            put(PARTS);
            put(parts.len() as u64);
            parts.iter().flat_map(|part| [part.start, part.end]).for_each(put);
        }
    }
}

/// Takes one thing after the other off the front of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().map_err(|_| garbled())?))
    }

    fn list(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let count = self.number()?;
        (0..count)
            .map(|_| self.number().and_then(|len| self.bytes(len as usize)).map(<[u8]>::to_vec))
            .collect()
    }

    fn input(&mut self) -> io::Result<Input> {
        match self.number()? {
            NOTHING => Ok(Input::Nothing),
            PARTS => {
                let count = self.number()?;
                let parts = (0..count).map(|_| Ok(self.number()?..self.number()?));
                parts.collect::<io::Result<Vec<Range<u64>>>>().map(Input::Parts)
            }
            _ => Err(garbled()),
        }
    }
}

impl Request {
    /// Sends it.
    ///
    /// # Errors
    /// The runner has gone.
    pub(super) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let mut message = vec![0; 8];
        put_list(&mut message, &self.argv);
        put_list(&mut message, &self.env);
        let timeout = self.timeout.map_or(0, |time| (time.as_nanos() as u64).max(1));
        for number in [timeout, self.memory.unwrap_or(0), self.most_output] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        put_input(&mut message, &self.input);
        let len = message.len() as u64 - 8;
        message[..8].copy_from_slice(&len.to_le_bytes());
        to.write_all(&message)
    }

    /// The next that a worker sends; `None` when there are no more.
    ///
    /// # Errors
    /// The worker has gone in the middle of one.
    pub(super) fn receive(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut len = [0; 8];
        match from.read(&mut len) {
            Ok(0) => return Ok(None),
            Ok(count) => from.read_exact(&mut len[count..])?,
            Err(e) => return Err(e),
        }
        let len =
            usize::try_from(u64::from_le_bytes(len)).ok().filter(|len| *len <= MOST).ok_or_else(garbled)?;
        let mut message = vec![0; len];
        from.read_exact(&mut message)?;
        let mut reader = Reader(&message);
        let (argv, env) = (reader.list()?, reader.list()?);
        let [timeout, memory, most_output] = [reader.number()?, reader.number()?, reader.number()?];
        let timeout = (timeout > 0).then(|| Duration::from_nanos(timeout));
        let (memory, input) = ((memory > 0).then_some(memory), reader.input()?);
        Ok(Some(Self { argv, env, timeout, memory, most_output, input }))
    }
}

impl Report<'_> {
    /// Puts it behind other reports that are to be sent.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Out(bytes) => {
                out.push(OUT);
                put_bytes(out, bytes);
            }
            Self::Err(bytes) => {
                out.push(ERR);
                put_bytes(out, bytes);
            }
            Self::Done(outcome) => {
                let (kind, number) = match outcome.ending {
                    Ending::Exited(code) => (EXITED, code),
                    Ending::Killed(signal) => (KILLED, signal),
                    // Who could send it is gone.
                    Ending::Abandoned => (KILLED, libc::SIGKILL),
                    Ending::NotStarted(errno) => (NOT_STARTED, errno),
                    Ending::TimedOut => (TIMED_OUT, 0),
                    Ending::TooLong => (TOO_LONG, 0),
                    Ending::Stopped(signal) => (STOPPED, signal),
                    Ending::Unfed(errno) => (UNFED, errno),
                };
                let mut message = vec![kind, u8::from(outcome.leaves_process)];
                message.extend_from_slice(&i64::from(number).to_le_bytes());
                message.extend_from_slice(&outcome.began.to_le_bytes());
                message.extend_from_slice(&(outcome.took.as_nanos() as u64).to_le_bytes());
                out.push(DONE);
                put_bytes(out, &message);
            }
        }
    }

    /// Takes the first off the front of what has been received, and says how many bytes that are; `None` where it is not
    /// all there.
    ///
    /// # Errors
    /// It makes no sense.
    pub(super) fn take(received: &[u8]) -> io::Result<Option<(Report<'_>, usize)>> {
        let mut reader = Reader(received);
        let (Ok(kind), Ok(len)) = (reader.bytes(1), reader.number()) else { return Ok(None) };
        let Ok(bytes) = reader.bytes(len as usize) else { return Ok(None) };
        let report = match kind[0] {
            OUT => Report::Out(bytes),
            ERR => Report::Err(bytes),
            DONE => Report::Done(outcome(bytes)?),
            _ => return Err(garbled()),
        };
        Ok(Some((report, received.len() - reader.0.len())))
    }
}

fn outcome(bytes: &[u8]) -> io::Result<Outcome> {
    let mut reader = Reader(bytes);
    let kind = reader.bytes(2)?;
    let number = reader.number()? as i32;
    let ending = match kind[0] {
        EXITED => Ending::Exited(number),
        KILLED => Ending::Killed(number),
        NOT_STARTED => Ending::NotStarted(number),
        TIMED_OUT => Ending::TimedOut,
        TOO_LONG => Ending::TooLong,
        STOPPED => Ending::Stopped(number),
        UNFED => Ending::Unfed(number),
        _ => return Err(garbled()),
    };
    let (began, took) = (reader.number()?, Duration::from_nanos(reader.number()?));
    Ok(Outcome { ending, began, took, leaves_process: kind[1] == 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(ending: Ending) -> Outcome {
        Outcome { ending, began: 1 << 60, took: Duration::from_micros(1), leaves_process: true }
    }

    proptest! {
        #[test]
        fn requests_arrive_as_they_were_sent(
            argv: Vec<Vec<u8>>, env: Vec<Vec<u8>>, most_output: u64, memory in prop::option::of(1u64..),
            timeout in prop::option::of(1u64..1 << 60), parts in prop::option::of(any::<Vec<Range<u64>>>()),
        ) {
            let input = parts.map_or(Input::Nothing, Input::Parts);
            let timeout = timeout.map(Duration::from_nanos);
            let request = Request { argv, env, timeout, memory, most_output, input };
            let mut sent = Vec::new();
            request.send(&mut sent).unwrap();
            request.send(&mut sent).unwrap();
            let mut from = &sent[..];
            for _ in 0..2 {
                let received = Request::receive(&mut from).unwrap();
                prop_assert_eq!(received.as_ref(), Some(&request));
            }
            prop_assert_eq!(Request::receive(&mut from).unwrap(), None);
            prop_assert!(Request::receive(&mut &sent[..sent.len() / 2 - 1]).is_err());
        }

        #[test]
        fn whatever_is_received_is_no_panic(bytes: Vec<u8>) {
            let _ = Request::receive(&mut &bytes[..]);
            let _ = Report::take(&bytes);
        }
    }

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let endings = [
            Ending::Exited(3),
            Ending::Killed(9),
            Ending::NotStarted(2),
            Ending::TimedOut,
            Ending::TooLong,
            Ending::Stopped(19),
            Ending::Unfed(5),
        ];
        let mut sent = Vec::new();
        Report::Out(b"out").put(&mut sent);
        Report::Err(b"err\n").put(&mut sent);
        endings.into_iter().for_each(|ending| Report::Done(outcome(ending)).put(&mut sent));
        let mut rest = &sent[..];
        let mut next = || {
            // A part of it is none.
            assert_eq!(Report::take(&rest[..10]).unwrap(), None);
            let (report, len) = Report::take(rest).unwrap().unwrap();
            rest = &rest[len..];
            report
        };
        assert_eq!(next(), Report::Out(b"out"));
        assert_eq!(next(), Report::Err(b"err\n"));
        for ending in endings {
            assert_eq!(next(), Report::Done(outcome(ending)));
        }
        assert!(rest.is_empty());
    }
}
