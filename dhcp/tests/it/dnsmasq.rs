//! Debian's DHCP server, on the bed's bridge.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, wait_until};

pub(crate) struct Dnsmasq {
    process: Child,
    log: PathBuf,
}

impl Dnsmasq {
    pub(crate) fn start(bed: &Bed, more: &[&str]) -> Self {
        Self::lease_for(bed, "10m", more)
    }

    pub(crate) fn lease_for(bed: &Bed, time: &str, more: &[&str]) -> Self {
        let log = bed.path("dnsmasq.log");
        let mut command = Command::new("/usr/sbin/dnsmasq");
        command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--log-dhcp", "--no-ping"]);
        command.args([
            "--interface=br0",
            "--bind-interfaces",
            "--dhcp-authoritative",
            "--user=root",
            "--pid-file=",
        ]);
        command.arg(format!("--dhcp-range=10.77.0.10,10.77.0.99,255.255.255.0,{time}"));
        command.arg(format!("--log-facility={}", log.display()));
        command.arg(format!("--dhcp-leasefile={}", bed.path("dnsmasq.leases").display()));
        command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        manifold_e2e::child::enter_netns(&mut command, bed.host.path()).unwrap();
        let process = manifold_e2e::child::spawn_for_life(command).expect("dnsmasq is installed");
        let server = Self { process, log };
        wait_until("dnsmasq serves", || server.log().contains("DHCP, IP range"));
        server
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
