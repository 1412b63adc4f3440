//! kubectl as the administrator, for tests and for people.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::Context;

use super::Cluster;
use crate::child;
use crate::netns;

impl Cluster {
    /// Runs kubectl; a refusal is an answer, not an error.
    pub fn try_kubectl(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let mut command = self.kubectl_command()?;
        command.args(arguments);
        child::answer(command, stdin)
    }

    /// Runs kubectl and returns what it printed; a refusal is an error that repeats it.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.try_kubectl(arguments, "")?;
        netns::said(&format!("kubectl {}", arguments.join(" ")), &output)
    }

    /// `kubectl apply` of one or more documents.
    pub fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        let output = self.try_kubectl(&["apply", "-f", "-"], yaml)?;
        netns::said("kubectl apply", &output).map(drop)
    }

    /// Runs a program in the first container of a pod.
    pub fn exec(&self, namespace: &str, pod: &str, words: &[&str]) -> anyhow::Result<String> {
        let arguments = [&["exec", "--namespace", namespace, pod, "--"], words].concat();
        self.kubectl(&arguments)
    }

    /// A kubectl that speaks to this cluster.
    pub fn kubectl_command(&self) -> anyhow::Result<Command> {
        self.client_command(&self.executable).map(|mut command| {
            command.arg("kubectl").arg("--kubeconfig").arg(self.place.kubeconfig());
            command
        })
    }

    /// Any program that talks to the API server: it runs where that can be reached, with the machine's own files.
    pub fn client_command(&self, program: &std::path::Path) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        child::enter_netns(&mut command, &self.control_plane.machine().netns())?;
        command.env("HOME", self.place.join("home")).env("KUBECONFIG", self.place.kubeconfig());
        Ok(command)
    }

    /// Scripts for people, in the cluster's folder: `kubectl`, and one for each machine that runs a command on it.
    pub(super) fn write_commands(&self) -> anyhow::Result<()> {
        let ns = self.place.namespaces();
        let [folder, ns] = [self.place.folder(), &ns].map(|path| path.display().to_string());
        let kubectl = format!(
            "#!/bin/sh\nexec nsenter --net={ns}/{}.net -- {} kubectl --kubeconfig {folder}/admin.kubeconfig \"$@\"\n",
            super::control_plane::NAME,
            self.executable.display()
        );
        self.write_command("kubectl", &kubectl)?;
        let machines = self.nodes.iter().map(super::Node::name).chain([super::control_plane::NAME]);
        for name in machines {
            let enter = format!(
                "#!/bin/sh\n[ $# -gt 0 ] || set -- sh\n\
                 exec nsenter --net={ns}/{name}.net --uts={ns}/{name}.uts --mount={ns}/{name}.mnt -- \"$@\"\n"
            );
            self.write_command(name, &enter)?;
        }
        Ok(())
    }

    fn write_command(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.command_path(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// A script of [`Cluster::write_commands`].
    pub fn command_path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}
