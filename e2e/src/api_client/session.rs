//! One connection for many requests, and for watches: for test beds that load the API server with thousands of objects.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use super::{Answer, ApiClient};

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// A connection that is kept between requests, and opened again when the server has closed it.
#[derive(Debug)]
pub struct Session {
    client: ApiClient,
    stream: Option<Stream>,
}

/// The events of a watch, as they come. It ends when the server ends it, or says nothing for too long.
#[derive(Debug)]
pub struct Watch {
    body: Body,
}

impl ApiClient {
    pub fn session(&self) -> Session {
        Session { client: self.clone(), stream: None }
    }

    /// Watches `path`, which says so itself (`?watch=1`…). Silence for longer than `patience` ends it with an error.
    pub fn watch(&self, path: &str, patience: Duration) -> anyhow::Result<Watch> {
        let mut stream = self.open()?;
        stream.get_ref().sock.set_read_timeout(Some(patience))?;
        write_head(&mut stream, self, "GET", path, "application/json", b"")?;
        let head = Head::read(&mut stream)?;
        let mut body = Body { stream, left: head.length };
        if head.status != 200 {
            let mut said = String::new();
            body.read_to_string(&mut said)?;
            bail!("the watch of {path} was refused with {}: {said}", head.status);
        }
        Ok(Watch { body })
    }

    fn open(&self) -> anyhow::Result<Stream> {
        Ok(BufReader::new(StreamOwned::new(self.tls()?, self.connect()?)))
    }
}

impl Session {
    /// Any request; an answer that says no is an answer, not an error.
    pub fn call(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> anyhow::Result<Answer> {
        if let Some(stream) = self.stream.take() {
            // Idle connections are closed now and then, which only the next request finds out.
            if let Ok(answer) = self.exchange(stream, method, path, kind, body) {
                return Ok(answer);
            }
        }
        let stream = self.client.open()?;
        self.exchange(stream, method, path, kind, body)
            .with_context(|| format!("{method} {path} was not answered"))
    }

    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.call("GET", path, "application/json", b"")
    }

    /// JSON to the server; a PATCH is a merge patch.
    pub fn write(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.call(method, path, kind, body.to_string().as_bytes())
    }

    pub fn delete(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.call("DELETE", path, "application/json", b"")
    }

    fn exchange(
        &mut self,
        mut stream: Stream,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        write_head(&mut stream, &self.client, method, path, kind, body)?;
        let head = Head::read(&mut stream)?;
        let mut whole = Body { stream, left: head.length };
        let mut body = Vec::new();
        whole.read_to_end(&mut body)?;
        if !head.closes {
            self.stream = Some(whole.stream);
        }
        Ok(Answer { status: head.status, body })
    }
}

impl Iterator for Watch {
    type Item = anyhow::Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        loop {
            // A body of this kind is read byte by byte from a buffer, up to the end of the line.
            match self.body.next_byte() {
                Ok(Some(b'\n')) => break,
                Ok(Some(byte)) => line.push(byte),
                Ok(None) if line.is_empty() => return None,
                Ok(None) => return Some(Err(anyhow::anyhow!("an event was cut short"))),
                Err(error) => return Some(Err(error.into())),
            }
        }
        Some(serde_json::from_slice(&line).context("an event is not JSON"))
    }
}

fn write_head(
    stream: &mut Stream,
    client: &ApiClient,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> io::Result<()> {
    let bearer = client.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: kubernetes\r\nAccept: application/json\r\n{}Content-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        bearer.unwrap_or_default(),
        body.len()
    );
    let stream = stream.get_mut();
    // In one piece: two small writes would wait for each other.
    stream.write_all(&[head.as_bytes(), body].concat())?;
    stream.flush()
}

/// How much of a body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Bytes(u64),
    /// Of the chunk that is being read; the next one follows.
    Chunk(u64),
    /// Chunks, none of them begun.
    FirstChunk,
}

#[derive(Debug)]
struct Head {
    status: u16,
    length: Left,
    closes: bool,
}

impl Head {
    fn read(stream: &mut impl BufRead) -> anyhow::Result<Self> {
        let first = line(stream)?;
        let status = first.split_whitespace().nth(1).and_then(|code| code.parse().ok());
        let mut head =
            Self { status: status.context("there is no status")?, length: Left::Bytes(0), closes: false };
        loop {
            let field = line(stream)?;
            let Some((name, value)) = field.split_once(':') else { return Ok(head) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Left::Bytes(value.parse().context("not a length")?),
                "transfer-encoding" => head.length = Left::FirstChunk,
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_string())
}

#[derive(Debug)]
struct Body {
    stream: Stream,
    left: Left,
}

impl Body {
    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let mut one = [0];
        Ok((self.read(&mut one)? == 1).then_some(one[0]))
    }

    /// How many bytes may be read before something else comes; 0 at the end.
    fn available(&mut self) -> io::Result<u64> {
        match self.left {
            Left::Bytes(left) => return Ok(left),
            Left::Chunk(left @ 1..) => return Ok(left),
            Left::Chunk(0) => drop(line(&mut self.stream)?),
            Left::FirstChunk => {}
        }
        let size = line(&mut self.stream)?;
        let size = u64::from_str_radix(&size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if size == 0 {
            line(&mut self.stream)?;
            self.left = Left::Bytes(0);
        } else {
            self.left = Left::Chunk(size);
        }
        Ok(size)
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.available()?).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.stream.read(into.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Left::Bytes(left) | Left::Chunk(left) = &mut self.left {
            *left -= count as u64;
        }
        Ok(count)
    }
}
