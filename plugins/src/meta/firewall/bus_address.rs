//! Where the system's D-Bus is: addresses in the form of the D-Bus specification, of which the first that answers counts.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::time::Instant;

use manifold_net::UnixConnection;

const VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";
const USUAL: &str = "unix:path=/run/dbus/system_bus_socket";

/// What the environment says, else the usual place.
pub(super) fn of_system() -> String {
    env::var(VARIABLE).ok().filter(|address| !address.is_empty()).unwrap_or_else(|| USUAL.to_owned())
}

pub(super) fn connect(addresses: &str, deadline: Instant) -> io::Result<UnixConnection> {
    let mut failure = io::Error::other(format!("the bus address `{addresses}` names no unix socket"));
    for socket in addresses.split(';').filter_map(socket) {
        match socket.and_then(|socket| UnixConnection::open(&socket, deadline)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The socket of one address; `None` for another transport.
fn socket(address: &str) -> Option<io::Result<SocketAddr>> {
    let keys = address.trim().strip_prefix("unix:")?;
    keys.split(',').filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| {
        let value = unescaped(value);
        match key {
            "path" => Some(SocketAddr::from_pathname(OsStr::from_bytes(&value))),
            "abstract" => Some(SocketAddr::from_abstract_name(value)),
            _ => None,
        }
    })
}

/// `%` and two hexadecimal digits are a byte.
fn unescaped(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    fn soon(addresses: &str) -> io::Result<UnixConnection> {
        connect(addresses, Instant::now() + Duration::from_secs(60))
    }

    // Shows part of: COMPAT-21.2
    #[test]
    fn the_first_unix_socket_that_answers_is_taken_by_path_or_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a bus");
        let _by_path = UnixListener::bind(&path).unwrap();
        let name = format!("manifold-bus-{}", std::process::id());
        let _by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let escaped = path.to_str().unwrap().replace(' ', "%20");
        for address in [
            format!("unix:path={escaped}"),
            format!("unix:guid=0123,path={escaped},guid=4567"),
            format!("tcp:host=localhost,port=1;unix:path=/nowhere;unix:path={escaped}"),
            format!("unix:abstract={name}"),
        ] {
            soon(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        assert!(soon("tcp:host=localhost,port=1").unwrap_err().to_string().contains("names no unix socket"));
        assert_eq!(soon("unix:path=/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(unescaped("a%2fb%2%zz"), b"a/b%2%zz");
    }
}
