//! The kubelet's pod-resources API, version 1, on a socket of its own: for answers that a real kubelet gives seldom or
//! never. The messages are complete, so that readers meet the parts that they skip.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;

use crate::grpc::{Reply, Server};

/// Answers like the kubelet; says what it was asked.
#[derive(Debug)]
pub struct PodResourcesServer {
    asked: Arc<Mutex<Vec<Question>>>,
    _server: Server,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Get { namespace: String, name: String },
    List,
    Other(String),
}

impl PodResourcesServer {
    pub fn start(
        socket: &Path,
        answer: impl Fn(&Question) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let asked = Arc::<Mutex<Vec<Question>>>::default();
        let heard = Arc::clone(&asked);
        let server = Server::start(socket, move |method, message| {
            let question = read(method, message);
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
            answer(&question)
        })?;
        Ok(Self { asked, _server: server })
    }

    /// A kubelet with these pods that behaves well.
    pub fn with_pods(socket: &Path, pods: Vec<PodResources>) -> anyhow::Result<Self> {
        Self::start(socket, move |question| match question {
            Question::Get { namespace, name } => {
                let own = pods.iter().find(|pod| pod.namespace == *namespace && pod.name == *name);
                own.map_or_else(|| unknown(namespace, name), |pod| of_one(pod.clone()))
            }
            Question::List => of_all(pods.clone()),
            Question::Other(_) => unimplemented(),
        })
    }

    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(method: &str, message: &[u8]) -> Question {
    match method {
        "/v1.PodResourcesLister/Get" => {
            let asked = GetRequest::decode(message).unwrap_or_default();
            Question::Get { namespace: asked.pod_namespace, name: asked.pod_name }
        }
        "/v1.PodResourcesLister/List" => Question::List,
        other => Question::Other(other.to_owned()),
    }
}

/// The answer to `Get`.
pub fn of_one(pod: PodResources) -> Reply {
    Reply::of(&GetResponse { pod_resources: Some(pod) })
}

/// The answer to `List`.
pub fn of_all(pod_resources: Vec<PodResources>) -> Reply {
    Reply::of(&ListResponse { pod_resources })
}

/// What the kubelet says of a pod that it does not have.
pub fn unknown(namespace: &str, name: &str) -> Reply {
    Reply::Refused { code: 2, message: format!("pod {name} in namespace {namespace} not found") }
}

/// What a server says of a method that it does not have.
pub fn unimplemented() -> Reply {
    Reply::Refused { code: 12, message: "unknown method".into() }
}

/// What the kubelet says to the hundred and first question of a second.
pub fn busy() -> Reply {
    Reply::Refused { code: 8, message: "rejected by rate limit".into() }
}

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    pod_name: String,
    #[prost(string, tag = "2")]
    pod_namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetResponse {
    #[prost(message, optional, tag = "1")]
    pod_resources: Option<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PodResources {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<Devices>,
    #[prost(int64, repeated, tag = "3")]
    pub cpu_ids: Vec<i64>,
    #[prost(message, repeated, tag = "4")]
    pub memory: Vec<Memory>,
    #[prost(message, repeated, tag = "5")]
    pub dynamic_resources: Vec<Claim>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Memory {
    #[prost(string, tag = "1")]
    pub memory_type: String,
    #[prost(uint64, tag = "2")]
    pub size: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Devices {
    #[prost(string, tag = "1")]
    pub resource_name: String,
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub topology: Option<Topology>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Topology {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<NumaNode>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NumaNode {
    #[prost(int64, tag = "1")]
    pub id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Claim {
    #[prost(string, tag = "2")]
    pub claim_name: String,
    #[prost(string, tag = "3")]
    pub claim_namespace: String,
    #[prost(message, repeated, tag = "4")]
    pub claim_resources: Vec<Claimed>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Claimed {
    #[prost(message, repeated, tag = "1")]
    pub cdi_devices: Vec<CdiDevice>,
    #[prost(string, tag = "2")]
    pub driver_name: String,
    #[prost(string, tag = "3")]
    pub pool_name: String,
    #[prost(string, tag = "4")]
    pub device_name: String,
    #[prost(string, optional, tag = "5")]
    pub share_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CdiDevice {
    #[prost(string, tag = "1")]
    pub name: String,
}

impl PodResources {
    /// A pod of one container.
    pub fn new(namespace: &str, name: &str) -> Self {
        let container = Container {
            name: "main".into(),
            cpu_ids: vec![0, 1],
            memory: vec![Memory { memory_type: "memory".into(), size: 1 << 30 }],
            ..Container::default()
        };
        Self { name: name.into(), namespace: namespace.into(), containers: vec![container] }
    }

    /// With devices for its first container.
    #[must_use]
    pub fn with_devices(mut self, resource: &str, ids: &[&str]) -> Self {
        let topology = Some(Topology { nodes: vec![NumaNode { id: 0 }] });
        let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let devices = Devices { resource_name: resource.into(), device_ids, topology };
        self.containers.first_mut().expect("it was made with one").devices.push(devices);
        self
    }

    /// With one device of a claim for its first container; `cdi` may be empty.
    #[must_use]
    pub fn with_claim(mut self, claim: &str, driver: &str, device: &str, cdi: &[&str]) -> Self {
        let claimed = Claimed {
            cdi_devices: cdi.iter().map(|name| CdiDevice { name: (*name).to_owned() }).collect(),
            driver_name: driver.into(),
            pool_name: "node1".into(),
            device_name: device.into(),
            share_id: None,
        };
        let claim = Claim {
            claim_name: claim.into(),
            claim_namespace: self.namespace.clone(),
            claim_resources: vec![claimed],
        };
        self.containers.first_mut().expect("it was made with one").dynamic_resources.push(claim);
        self
    }
}
