//! A definition as it was fetched: what the plan needs of a NetworkAttachmentDefinition.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NadRef {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for NadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nad {
    pub namespace: String,
    pub name: String,
    pub config: Option<String>,
    pub resource_name: Option<String>,
    pub terminating: bool,
}
