//! `CNI_ARGS` for delegates: who the pod is, in the order everybody knows, then what the caller passed, each key once.

use manifold_cni::{CniArgs, ContainerId};
use manifold_crds::Selection;

use crate::{Pod, Role};

/// What a runtime may ask of the one interface it knows of. Another network would take it for its own.
const OF_ONE_INTERFACE: [&str; 3] = ["IP", "MAC", "GUID"];

/// The arguments of every verb (MLT-EXE-5).
pub fn of_delegate(pod: &Pod, container: &ContainerId, caller: &CniArgs, role: Role) -> CniArgs {
    let mut args = CniArgs::default();
    args.set("IgnoreUnknown", "true");
    args.set("K8S_POD_NAMESPACE", pod.namespace.as_str());
    args.set("K8S_POD_NAME", pod.name.as_str());
    args.set("K8S_POD_INFRA_CONTAINER_ID", container.as_str());
    if let Some(uid) = &pod.uid {
        args.set("K8S_POD_UID", uid.as_str());
    }
    for (key, value) in caller.iter() {
        let ours = matches!(
            key,
            "IgnoreUnknown" | "K8S_POD_NAMESPACE" | "K8S_POD_NAME" | "K8S_POD_INFRA_CONTAINER_ID"
        ) || (key == "K8S_POD_UID" && pod.uid.is_some());
        if !ours && (role == Role::Default || !OF_ONE_INTERFACE.contains(&key)) {
            args.set(key, value);
        }
    }
    args
}

/// The same with `MAC` and `IP`, which old plugins read on ADD (MLT-EXE-6).
pub fn with_requests(args: &CniArgs, selection: Option<&Selection>) -> CniArgs {
    let mut args = args.clone();
    if let Some(mac) = selection.and_then(|s| s.mac) {
        args.set("MAC", &mac.to_string());
    }
    let ips: Vec<&str> = selection.into_iter().flat_map(|s| &s.ips).map(|ip| ip.as_str()).collect();
    if !ips.is_empty() {
        args.set("IP", &ips.join(","));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(caller: &str, uid: Option<&str>, role: Role, expected: &str) {
        let pod = Pod::new("shop", "cart-7", uid).unwrap();
        let args = of_delegate(&pod, &"c1".parse().unwrap(), &CniArgs::parse(caller), role);
        assert_eq!(args.to_string(), expected, "{caller}");
    }

    const OURS: &str =
        "IgnoreUnknown=true;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7;K8S_POD_INFRA_CONTAINER_ID=c1";

    // Proves: MLT-EXE-5
    #[test]
    fn the_pod_comes_first_and_no_key_twice() {
        check("", Some("u-1"), Role::Default, &format!("{OURS};K8S_POD_UID=u-1"));
        check(
            "K8S_POD_UID=other;FOO=1;K8S_POD_NAME=other;IgnoreUnknown=1;FOO=2",
            Some("u-1"),
            Role::Selected,
            &format!("{OURS};K8S_POD_UID=u-1;FOO=2"),
        );
        check("K8S_POD_UID=theirs", None, Role::Selected, &format!("{OURS};K8S_POD_UID=theirs"));
    }

    #[test]
    fn what_the_runtime_asks_of_its_interface_stays_there() {
        check("IP=10.0.0.9;MAC=02:00:00:00:00:01;A=b=c", None, Role::Selected, &format!("{OURS};A=b=c"));
        check("IP=10.0.0.9", None, Role::Default, &format!("{OURS};IP=10.0.0.9"));
    }

    // Proves: MLT-EXE-6
    #[test]
    fn requests_are_told_in_the_old_way_too() {
        let list = r#"[{"name":"a","mac":"02:00:00:00:00:01","ips":["10.0.0.1/24","fd00::1"]}]"#;
        let selection = crate::tests::wanted(list).attachments.pop().unwrap().selection;
        let args = with_requests(&CniArgs::parse("A=1;MAC=x"), selection.as_ref());
        assert_eq!(args.to_string(), "A=1;MAC=02:00:00:00:00:01;IP=10.0.0.1/24,fd00::1");
        assert_eq!(with_requests(&CniArgs::parse("A=1"), None).to_string(), "A=1");
    }
}
