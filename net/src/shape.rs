//! Traffic shaping: a token bucket on what a link sends, and what a link receives redirected to another link, which
//! may have a bucket of its own.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcActionAttribute, TcActionMirrorOption, TcActionOption, TcAttribute, TcFilterU32Option, TcHandle,
    TcMessage, TcOption,
};

use crate::error::NetError;
use crate::net::Net;

/// The queueing discipline `tbf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that may wait; more are dropped.
    pub limit: u32,
    /// How much time's tokens the bucket holds, in the kernel's ticks of 64 ns.
    pub buffer: u32,
}

const KIND: &str = "tbf";
const ROOT: TcHandle = TcHandle { major: 1, minor: 0 };
const INGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0 };

const TCA_OPTIONS_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
/// Two rates of 12 bytes, of which the last 4 are the rate; limit, buffer, a field for the kernel's use.
const PARMS: usize = 36;
const AT_RATE: usize = 8;
const AT_LIMIT: usize = 24;
const AT_BUFFER: usize = 28;

impl TokenBucket {
    fn options(self) -> Vec<TcOption> {
        let small = u32::try_from(self.rate).unwrap_or(u32::MAX);
        let mut parms = vec![0; AT_RATE];
        parms.extend(small.to_ne_bytes());
        parms.resize(AT_LIMIT, 0);
        parms.extend(self.limit.to_ne_bytes());
        parms.extend(self.buffer.to_ne_bytes());
        parms.resize(PARMS, 0);
        let mut options = vec![TcOption::Other(DefaultNla::new(TCA_OPTIONS_PARMS, parms))];
        if self.rate > u64::from(u32::MAX) {
            let wide = DefaultNla::new(TCA_TBF_RATE64, self.rate.to_ne_bytes().to_vec());
            options.push(TcOption::Other(wide));
        }
        options
    }

    /// From the attributes of a listed discipline; they come as one piece.
    fn read(attributes: &[TcAttribute]) -> Option<Self> {
        let whole = attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Options(options) => options.first(),
            _ => None,
        })?;
        let mut bytes = vec![0; whole.value_len()];
        whole.emit_value(&mut bytes);
        let (mut bucket, mut wide) = (None, None);
        for nla in NlasIterator::new(&bytes[..]).flatten() {
            match nla.kind() {
                TCA_OPTIONS_PARMS => bucket = Self::from_parms(nla.value()),
                TCA_TBF_RATE64 => wide = nla.value().first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)),
                _ => {}
            }
        }
        bucket.map(|bucket| Self { rate: wide.unwrap_or(bucket.rate), ..bucket })
    }

    fn from_parms(parms: &[u8]) -> Option<Self> {
        let word = |at: usize| parms.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        Some(Self { rate: word(AT_RATE)?.into(), limit: word(AT_LIMIT)?, buffer: word(AT_BUFFER)? })
    }
}

impl Net {
    /// Shapes what the link sends; a discipline that is there already is replaced.
    ///
    /// # Errors
    /// If the link is gone or the kernel lacks the queue.
    pub fn set_token_bucket(&self, index: u32, bucket: &TokenBucket) -> Result<(), NetError> {
        let mut message = message(index, ROOT, TcHandle::ROOT);
        message.attributes = vec![TcAttribute::Kind(KIND.into()), TcAttribute::Options(bucket.options())];
        let what = || format!("limit what link {index} sends to {} bytes a second", bucket.rate);
        self.request(what, RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map(drop)
    }

    /// The bucket on what the link sends, if it has one.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn token_bucket(&self, index: u32) -> Result<Option<TokenBucket>, NetError> {
        let get = RouteNetlinkMessage::GetQueueDiscipline(message(index, TcHandle::UNSPEC, TcHandle::UNSPEC));
        let answers = self.dump(|| format!("list the queueing disciplines of link {index}"), get)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(found)
                if is_of(&found, index, KIND) && found.header.parent == TcHandle::ROOT =>
            {
                TokenBucket::read(&found.attributes)
            }
            _ => None,
        }))
    }

    /// The link sends as it did before; a link without a discipline of its own is an error that says so.
    ///
    /// # Errors
    /// If the link is gone or the kernel refuses.
    pub fn clear_token_bucket(&self, index: u32) -> Result<(), NetError> {
        let message = message(index, TcHandle::UNSPEC, TcHandle::ROOT);
        let what = || format!("end the limit on what link {index} sends");
        self.request(what, RouteNetlinkMessage::DelQueueDiscipline(message), 0).map(drop)
    }

    /// All that the link receives goes through another link first, as if that sent it.
    ///
    /// # Errors
    /// If one of the links is gone or the kernel lacks the filter.
    pub fn redirect_received(&self, index: u32, to: u32) -> Result<(), NetError> {
        let what = || format!("redirect what link {index} receives to link {to}");
        let mut discipline = message(index, INGRESS, TcHandle::INGRESS);
        discipline.attributes = vec![TcAttribute::Kind("ingress".into())];
        let create = NLM_F_CREATE | NLM_F_REPLACE;
        self.request(what, RouteNetlinkMessage::NewQueueDiscipline(discipline), create)?;
        let mut filter = message(index, TcHandle::UNSPEC, INGRESS);
        filter.header.info = FIRST_OF_ALL_PROTOCOLS;
        filter.attributes = vec![TcAttribute::Kind("u32".into()), TcAttribute::Options(redirection(to))];
        self.request(what, RouteNetlinkMessage::NewTrafficFilter(filter), NLM_F_CREATE).map(drop)
    }

    /// The link that what this one receives is redirected to.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn received_redirected_to(&self, index: u32) -> Result<Option<u32>, NetError> {
        let get = RouteNetlinkMessage::GetTrafficFilter(message(index, TcHandle::UNSPEC, INGRESS));
        let answers = match self.dump(|| format!("list the filters of link {index}"), get) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewTrafficFilter(found) if is_of(&found, index, "u32") => {
                found.attributes.iter().find_map(target)
            }
            _ => None,
        }))
    }

    /// Ends the redirection; a link without one is an error.
    ///
    /// # Errors
    /// If the link is gone or the kernel refuses.
    pub fn clear_redirection(&self, index: u32) -> Result<(), NetError> {
        let message = message(index, INGRESS, TcHandle::INGRESS);
        let what = || format!("end the redirection of what link {index} receives");
        self.request(what, RouteNetlinkMessage::DelQueueDiscipline(message), 0).map(drop)
    }
}

fn message(index: u32, handle: TcHandle, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.handle = handle;
    message.header.parent = parent;
    message
}

fn is_of(found: &TcMessage, index: u32, kind: &str) -> bool {
    found.header.index == index.cast_signed()
        && found.attributes.iter().any(|attribute| matches!(attribute, TcAttribute::Kind(k) if k == kind))
}

/// Priority 1, every protocol (in network order).
const FIRST_OF_ALL_PROTOCOLS: u32 = (1 << 16) | (0x0003_u16.to_be() as u32);
const TCA_U32_CLASSID: u16 = 1;
const TCA_U32_SEL: u16 = 5;
const TCA_U32_ACT: u16 = 7;
const CLASS_1_1: u32 = 0x0001_0001;

/// "Every packet: take it, and send it over that link."
fn redirection(to: u32) -> Vec<TcOption> {
    // Flag "terminal", one key; the key's mask is zero, so that it matches everything.
    let mut selector = vec![1, 0, 1, 0];
    selector.resize(32, 0);
    let mirred = [0, 0, STOLEN, 0, 0, EGRESS_REDIRECT, to];
    let parms: Vec<u8> = mirred.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let action = [nla(1, b"mirred\0"), nla(2, &nla(2, &parms))].concat();
    let option = |kind, value| TcOption::Other(DefaultNla::new(kind, value));
    vec![
        option(TCA_U32_CLASSID, CLASS_1_1.to_ne_bytes().to_vec()),
        option(TCA_U32_SEL, selector),
        option(TCA_U32_ACT, nla(1, &action)),
    ]
}

const STOLEN: u32 = 4;
const EGRESS_REDIRECT: u32 = 1;

/// One attribute as bytes, with the padding behind it.
fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("attributes of ours are short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn target(attribute: &TcAttribute) -> Option<u32> {
    let TcAttribute::Options(options) = attribute else { return None };
    let actions = options.iter().filter_map(|option| match option {
        TcOption::U32(TcFilterU32Option::Action(actions)) => Some(actions),
        _ => None,
    });
    let attributes = actions.flatten().flat_map(|action| &action.attributes);
    let options = attributes.filter_map(|attribute| match attribute {
        TcActionAttribute::Options(options) => Some(options),
        _ => None,
    });
    options.flatten().find_map(|option| match option {
        TcActionOption::Mirror(TcActionMirrorOption::Parms(parms)) => Some(parms.ifindex),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_beyond_four_bytes_travels_in_an_attribute_of_its_own() {
        let bucket = TokenBucket { rate: 5_000_000_000, limit: 7, buffer: 9 };
        let bytes: Vec<u8> = bucket
            .options()
            .iter()
            .flat_map(|option| {
                let mut value = vec![0; option.value_len()];
                option.emit_value(&mut value);
                nla(option.kind(), &value)
            })
            .collect();
        let listed = TcAttribute::Options(vec![TcOption::Other(DefaultNla::new(2, bytes))]);
        assert_eq!(TokenBucket::read(&[listed]), Some(bucket));
    }
}
