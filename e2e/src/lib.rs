//! Test beds: what the tests and benchmarks of every other room stand on.
//!
//! Everything here is real: an API server with its etcd, network namespaces, a runtime that executes plugins as
//! containerd does, a program that misbehaves as a delegate can, and an oracle that says what was left behind.
//! Nothing here touches the machine's own interfaces: a test's "host" is a network namespace of its own.
//!
//! Whatever a test process starts ends with it, also when it is killed: long-lived children carry a parent-death
//! signal ([`child`]), folders and namespaces are registered with a janitor that outlives the process ([`janitor`]).

pub mod api_client;
pub mod api_server;
pub mod audit;
pub mod cargo_command;
pub mod cargo_tool;
pub mod certificates;
pub mod checkers;
pub mod child;
pub mod cluster;
pub mod cluster_binary;
pub mod controller;
pub mod crio;
pub mod device_plugin;
pub mod executable;
pub mod forward;
pub mod go_tool;
pub mod grpc;
pub mod guest;
pub mod helm;
pub mod janitor;
pub mod kubeconfig;
pub mod leaks;
pub mod load;
pub mod mounts;
pub mod nerdctl;
pub mod netns;
pub mod pod_resources;
pub mod podman;
pub mod ports;
pub mod project;
pub mod runtime;
pub mod storm;
pub mod trace;
pub mod whereabouts;
