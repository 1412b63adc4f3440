//! A device plugin for a real kubelet: registers, lists its devices, allocates what it is asked for, and nothing more.

use std::path::Path;

use anyhow::Context;
use prost::Message;

use crate::grpc::{self, Reply, Server};

/// Serves the kubelet until it is dropped; then its devices are no longer healthy.
#[derive(Debug)]
pub struct DevicePlugin {
    _server: Server,
}

impl DevicePlugin {
    /// `folder` is the kubelet's `/var/lib/kubelet/device-plugins`, from wherever it is seen.
    pub fn register(folder: &Path, resource: &str, ids: &[&str]) -> anyhow::Result<Self> {
        // Short: the path of a socket may have 108 bytes.
        let endpoint = format!("{}.sock", resource.split(['.', '/']).next().unwrap_or_default());
        let devices =
            ids.iter().map(|id| Device { id: (*id).to_owned(), health: "Healthy".into() }).collect();
        let listed = ListAndWatchResponse { devices };
        let server = Server::start(&folder.join(&endpoint), move |method, message| {
            match method.rsplit('/').next().unwrap_or_default() {
                "ListAndWatch" => Reply::Stream(vec![listed.encode_to_vec()]),
                "GetDevicePluginOptions" => Reply::of(&Empty {}),
                "Allocate" => allocate(message),
                method => Reply::Refused { code: 12, message: format!("{method} is not offered") },
            }
        })?;
        let request =
            RegisterRequest { version: "v1beta1".into(), endpoint, resource_name: resource.to_owned() };
        grpc::call(&folder.join("kubelet.sock"), "/v1beta1.Registration/Register", &request)
            .context("the kubelet does not take the device plugin")?;
        Ok(Self { _server: server })
    }
}

/// Each container is told its devices in a variable.
fn allocate(message: &[u8]) -> Reply {
    let Ok(asked) = AllocateRequest::decode(message) else {
        return Reply::Refused { code: 3, message: "no request".into() };
    };
    let one = |request: &ContainerRequest| ContainerResponse {
        envs: [("DEVICES".to_owned(), request.devices_ids.join(","))].into(),
    };
    Reply::of(&AllocateResponse { container_responses: asked.container_requests.iter().map(one).collect() })
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct RegisterRequest {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    endpoint: String,
    #[prost(string, tag = "3")]
    resource_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListAndWatchResponse {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<Device>,
}

#[derive(Clone, PartialEq, Message)]
struct Device {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    health: String,
}

#[derive(Clone, PartialEq, Message)]
struct AllocateRequest {
    #[prost(message, repeated, tag = "1")]
    container_requests: Vec<ContainerRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerRequest {
    #[prost(string, repeated, tag = "1")]
    devices_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct AllocateResponse {
    #[prost(message, repeated, tag = "1")]
    container_responses: Vec<ContainerResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerResponse {
    #[prost(map = "string, string", tag = "1")]
    envs: std::collections::HashMap<String, String>,
}
