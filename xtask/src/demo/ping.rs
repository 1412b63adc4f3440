//! Pings over every network that two pods share, by every address.

use std::net::IpAddr;

use anyhow::Context as _;
use manifold_e2e::netns::TestNetns;

use super::look::Attachment;

const COUNT: u32 = 3;

/// One address of the other pod, and what came back.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) network: String,
    pub(super) interface: String,
    pub(super) to: IpAddr,
    pub(super) answered: bool,
    pub(super) result: String,
}

/// From `pod` to every address that `others` has in a network of `own`.
pub(super) fn all(pod: &TestNetns, own: &[Attachment], others: &[Attachment]) -> anyhow::Result<Vec<Ping>> {
    let mut pings = Vec::new();
    for from in own {
        for other in others.iter().filter(|other| other.name == from.name) {
            for ip in &other.ips {
                let to =
                    ip.parse().with_context(|| format!("`{ip}` in the network-status is not an address"))?;
                pings.push(one(pod, from, to)?);
            }
        }
    }
    Ok(pings)
}

fn one(pod: &TestNetns, from: &Attachment, to: IpAddr) -> anyhow::Result<Ping> {
    let count = COUNT.to_string();
    // Bound to the interface, so that no other network can carry it.
    let mut command = pod.command("ping")?;
    command.args(["-n", "-q", "-c", &count, "-i", "0.1", "-W", "2", "-I", &from.interface, &to.to_string()]);
    let output = command.env("LC_ALL", "C").output().context("cannot run `ping`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let answers = answers(&said);
    Ok(Ping {
        network: from.name.clone(),
        interface: from.interface.clone(),
        to,
        answered: answers == COUNT,
        result: format!("{answers} of {COUNT} answered{}", average(&said)),
    })
}

/// `3 packets transmitted, 3 received, 0% packet loss, time 203ms`
fn answers(said: &str) -> u32 {
    let count = said.split(", ").find_map(|part| part.strip_suffix(" received"));
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// `rtt min/avg/max/mdev = 0.034/0.041/0.052/0.008 ms`
fn average(said: &str) -> String {
    let numbers = said.lines().find_map(|l| l.strip_prefix("rtt ")?.split(" = ").nth(1));
    numbers.and_then(|n| n.split('/').nth(1)).map(|avg| format!(", {avg} ms")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ping_says_is_understood() {
        let said = "3 packets transmitted, 3 received, 0% packet loss, time 203ms\n\
                    rtt min/avg/max/mdev = 0.034/0.041/0.052/0.008 ms\n";
        assert_eq!((answers(said), average(said).as_str()), (3, ", 0.041 ms"));
        let lost = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2043ms\n";
        assert_eq!((answers(lost), average(lost).as_str()), (0, ""));
    }
}
