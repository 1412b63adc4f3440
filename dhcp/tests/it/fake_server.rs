//! A DHCP server that does what a test says, and remembers every message.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _};

use crate::bed::Bed;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

pub(crate) struct FakeServer {
    seen: Arc<Mutex<Vec<Message>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a lease is like.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) address: Ipv4Addr,
    pub(crate) lease: u32,
    pub(crate) renew: u32,
    pub(crate) rebind: u32,
    pub(crate) mask: bool,
}

pub(crate) fn terms(last: u8) -> Terms {
    Terms { address: [10, 77, 0, last].into(), lease: 600, renew: 300, rebind: 500, mask: true }
}

impl FakeServer {
    /// `decide` gets every message with its number and says what to lease; `None` is silence.
    pub(crate) fn start(
        bed: &Bed,
        mut decide: impl FnMut(usize, &Message) -> Option<Terms> + Send + 'static,
    ) -> Self {
        let socket = bed.host.netns().run(|| UdpSocket::bind(("0.0.0.0", 67))).unwrap().unwrap();
        socket.set_broadcast(true).unwrap();
        // A broadcast comes to the host twice: by the bridge, and by the link behind it.
        let device = std::ffi::OsString::from("br0");
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::BindToDevice, &device).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen_there, stop_there) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop_there.load(Ordering::Relaxed) {
                let Ok(length) = socket.recv(&mut buffer) else { continue };
                let Ok(message) = Message::decode(&mut Decoder::new(&buffer[..length])) else { continue };
                let number = {
                    let mut seen = seen_there.lock().unwrap();
                    seen.push(message.clone());
                    seen.len()
                };
                if let Some(reply) = decide(number, &message).and_then(|terms| reply(&message, terms)) {
                    let to = if message.ciaddr().is_unspecified() {
                        Ipv4Addr::BROADCAST
                    } else {
                        message.ciaddr()
                    };
                    let _ = socket.send_to(&reply.to_vec().unwrap(), (to, 68));
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    pub(crate) fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, kind: MessageType) -> usize {
        self.seen().iter().filter(|message| said(message) == Some(kind)).count()
    }
}

pub(crate) fn said(message: &Message) -> Option<MessageType> {
    match message.opts().get(OptionCode::MessageType) {
        Some(DhcpOption::MessageType(kind)) => Some(*kind),
        _ => None,
    }
}

fn reply(message: &Message, terms: Terms) -> Option<Message> {
    let kind = match said(message)? {
        MessageType::Discover => MessageType::Offer,
        MessageType::Request => MessageType::Ack,
        _ => return None,
    };
    let none = Ipv4Addr::UNSPECIFIED;
    let mut reply = Message::new_with_id(message.xid(), none, terms.address, SERVER, none, message.chaddr());
    reply.set_opcode(Opcode::BootReply);
    let options = reply.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(SERVER));
    options.insert(DhcpOption::AddressLeaseTime(terms.lease));
    options.insert(DhcpOption::Renewal(terms.renew));
    options.insert(DhcpOption::Rebinding(terms.rebind));
    if terms.mask {
        options.insert(DhcpOption::SubnetMask([255, 255, 255, 0].into()));
    }
    Some(reply)
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
