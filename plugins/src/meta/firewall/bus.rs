//! As much of D-Bus as it takes to call a method with texts and to hear the answer.

use std::io::{self, Read, Write};
use std::time::Instant;

use manifold_net::UnixConnection;

use super::bus_address;
use crate::interface::ruleset::LAST_GRACE;

/// A connection that has been let in.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixConnection,
    serial: u32,
}

/// One method with texts for arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) service: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [&'a str],
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    #[error("the system bus cannot be reached ({0})")]
    Io(io::Error),
    #[error("the system bus did not answer in time")]
    Late,
    #[error("the system bus rejected the authentication")]
    NotLetIn,
    #[error("the bus uses another version of the protocol")]
    Form,
    #[error("{0}")]
    Refused(String),
}

impl From<io::Error> for BusError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Late } else { Self::Io(error) }
    }
}

/// Longer answers are none that we asked for.
const MOST: usize = 1 << 20;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
const ANSWERED_SERIAL: u8 = 5;

impl Bus {
    /// Everything that is said on it is said by the deadline, or shortly after now where that has passed.
    pub(super) fn connect(address: &str, deadline: Instant) -> Result<Self, BusError> {
        let deadline = deadline.max(Instant::now() + LAST_GRACE);
        let mut bus = Self { stream: bus_address::connect(address, deadline)?, serial: 0 };
        let uid: String = nix::unistd::geteuid().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        bus.stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        if !bus.line()?.starts_with("OK ") {
            return Err(BusError::NotLetIn);
        }
        bus.stream.write_all(b"BEGIN\r\n")?;
        bus.call(&Call {
            service: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            arguments: &[],
        })?;
        Ok(bus)
    }

    /// The body of the answer.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Vec<u8>, BusError> {
        self.serial += 1;
        self.stream.write_all(&call.message(self.serial))?;
        loop {
            let (kind, answered, body) = self.message()?;
            match kind {
                ANSWER if answered == Some(self.serial) => return Ok(body),
                ERROR if answered == Some(self.serial) => return Err(BusError::Refused(text(&body))),
                _ => {} // A signal, such as that of our new name.
            }
        }
    }

    fn line(&mut self) -> Result<String, BusError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > 200 {
                return Err(BusError::Form);
            }
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Kind, the serial that it answers, body.
    fn message(&mut self) -> Result<(u8, Option<u32>, Vec<u8>), BusError> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let [order, kind, ..] = head;
        let word =
            |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).map(|w| u32::from_le_bytes(*w));
        let (Some(body), Some(fields), b'l') = (word(4), word(12), order) else { return Err(BusError::Form) };
        let (body, fields) = (body as usize, (fields as usize).next_multiple_of(8));
        if body > MOST || fields > MOST {
            return Err(BusError::Form);
        }
        let mut rest = vec![0; fields + body];
        self.stream.read_exact(&mut rest)?;
        let body = rest.split_off(fields);
        Ok((kind, answered(&rest), body))
    }
}

/// The field stands on a multiple of 8: its code, the signature `u`, and the number.
fn answered(fields: &[u8]) -> Option<u32> {
    let mut at = fields.chunks_exact(8);
    at.find_map(|field| match field {
        [ANSWERED_SERIAL, 1, b'u', 0, number @ ..] => number.first_chunk().map(|n| u32::from_le_bytes(*n)),
        _ => None,
    })
}

fn text(body: &[u8]) -> String {
    let length = body.first_chunk::<4>().map_or(0, |word| u32::from_le_bytes(*word) as usize);
    let said = body.get(4..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    String::from_utf8_lossy(said).chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

impl Call<'_> {
    fn message(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        for argument in self.arguments {
            put_text(&mut body, argument);
        }
        let mut fields = Vec::new();
        let texts = [
            (1, b'o', self.path),
            (2, b's', self.interface),
            (3, b's', self.member),
            (6, b's', self.service),
        ];
        for (code, kind, value) in texts {
            align(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            put_text(&mut fields, value);
        }
        if !self.arguments.is_empty() {
            align(&mut fields, 8);
            let signature = "s".repeat(self.arguments.len());
            fields.extend([8, 1, b'g', 0]);
            fields.extend([u8::try_from(signature.len()).expect("calls of ours have few arguments")]);
            fields.extend(signature.bytes());
            fields.push(0);
        }
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).expect("calls of ours are short").to_le_bytes();
        let mut message = vec![b'l', 1, 0, 1];
        message.extend(length(&body));
        message.extend(serial.to_le_bytes());
        message.extend(length(&fields));
        message.extend(fields);
        align(&mut message, 8);
        message.extend(body);
        message
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    bytes.extend(u32::try_from(text.len()).expect("texts of ours are short").to_le_bytes());
    bytes.extend(text.bytes());
    bytes.push(0);
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}
