//! What RBAC alone refuses to each identity, and what of its work it allows.

use serde_json::{Value, json};

use crate::attempt::{Attempt, PLAIN, STATUS};
use crate::bed::{Bed, DEFAULT_NETWORKS, NETWORKS, NODE_A, NODE_B, OPTIONAL, PODS, message, shipped, wait};
use crate::identity::Who;
use crate::manifests;
use crate::objects::{annotations, new_pod};
use crate::patch::How;

const SYSTEM: &str = "/api/v1/namespaces/manifold-system";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

const ADDRESSES: &str = "/apis/ipam.manifold.network/v1alpha1";

/// Paths below `$` lie where the row's own objects do.
type Row = (&'static str, String);

fn rows(of: &[(&'static str, &str)], base: &str) -> Vec<Row> {
    of.iter().map(|(method, path)| (*method, path.replace('$', base))).collect()
}

/// The shim gets, creates and replaces blocks; the node role lists and watches them too.
fn addresses(of_node: bool) -> Vec<Row> {
    let both = [
        ("PATCH", "$/addressblocks/x"),
        ("DELETE", "$/addressblocks/x"),
        ("DELETE", "$/addressblocks"),
        ("GET", "$/addresspools"),
        ("POST", "$/addresspools"),
        ("PUT", "$/addresspools/x"),
        ("PATCH", "$/addresspools/x/status"),
        ("DELETE", "$/addresspools/x"),
        ("GET", "/apis/k8s.cni.cncf.io/v1alpha1/ipamclaims"),
        ("POST", "/apis/k8s.cni.cncf.io/v1alpha1/namespaces/shop/ipamclaims"),
        ("PUT", "/apis/k8s.cni.cncf.io/v1alpha1/namespaces/shop/ipamclaims/x"),
    ];
    let shim = [("GET", "$/addressblocks"), ("GET", "$/addressblocks?watch=true")];
    let more = rows(&shim, ADDRESSES).into_iter().filter(|_| !of_node);
    rows(&both, ADDRESSES).into_iter().chain(more).collect()
}

/// Every write and every read of many on pods and definitions, and what each identity has no business with.
fn shim() -> Vec<Row> {
    let pods = [
        ("GET", "$/own"),
        ("GET", "$"),
        ("GET", "/api/v1/pods"),
        ("GET", "$?watch=true"),
        ("POST", "$"),
        ("PUT", "$/own"),
        ("PATCH", "$/own"),
        ("DELETE", "$/own"),
        ("DELETE", "$"),
        ("GET", "$/own/status"),
        ("PUT", "$/own/status"),
        ("GET", "$/own/log"),
        ("POST", "$/own/exec?command=id"),
        ("POST", "$/own/attach"),
        ("POST", "$/own/portforward"),
        ("PATCH", "$/own/ephemeralcontainers"),
        ("PATCH", "$/own/resize"),
        ("POST", "$/own/binding"),
        ("POST", "$/own/eviction"),
        ("POST", "/api/v1/namespaces/shop/bindings"),
    ];
    let networks = [
        ("GET", "$"),
        ("GET", "$?watch=true"),
        ("POST", "$"),
        ("PUT", "$/right"),
        ("PATCH", "$/right"),
        ("DELETE", "$/right"),
        ("DELETE", "$"),
        ("PATCH", "$/right/status"),
        ("PUT", "$/right/status"),
        ("GET", "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"),
    ];
    let rest = [
        ("GET", "$/secrets/manifold-webhook"),
        ("GET", "$/secrets"),
        ("GET", "/api/v1/secrets"),
        ("POST", "$/secrets"),
        ("GET", "$/configmaps"),
        ("GET", "$/serviceaccounts/manifold-shim"),
        ("POST", "$/serviceaccounts/manifold-shim/token"),
        ("POST", "$/serviceaccounts/manifold-node/token"),
        ("GET", "/api/v1/nodes/node-a"),
        ("GET", "/api/v1/nodes"),
        ("PATCH", "/api/v1/nodes/node-a"),
        ("PATCH", "/api/v1/nodes/node-a/status"),
        ("DELETE", "/api/v1/nodes/node-b"),
        ("GET", "/api/v1/namespaces"),
        ("POST", "/api/v1/namespaces"),
        ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
    ];
    [rows(&pods, PODS), rows(&networks, NETWORKS), rows(&rest, SYSTEM), addresses(false), elsewhere()]
        .concat()
}

fn node() -> Vec<Row> {
    let pods = [
        ("GET", "$/own"),
        ("GET", "$"),
        ("GET", "/api/v1/pods"),
        ("GET", "$?watch=true"),
        ("POST", "$"),
        ("PATCH", "$/own"),
        ("PATCH", "$/own/status"),
        ("DELETE", "$/own"),
        ("POST", "$/own/exec?command=id"),
    ];
    let networks = [
        ("GET", "$"),
        ("GET", "$?watch=true"),
        ("GET", "$/other"),
        ("POST", "$"),
        ("DELETE", "$"),
        ("PUT", "$/cluster-wide-network"),
        ("PATCH", "$/cluster-wide-network"),
        ("PATCH", "$/cluster-wide-network/status"),
        ("DELETE", "$/cluster-wide-network"),
        ("GET", "/apis/k8s.cni.cncf.io/v1/namespaces/shop/network-attachment-definitions/right"),
        (
            "GET",
            "/apis/k8s.cni.cncf.io/v1/namespaces/shop/network-attachment-definitions/cluster-wide-network",
        ),
    ];
    let rest = [
        ("GET", "$/secrets/manifold-webhook"),
        ("GET", "$/secrets"),
        ("POST", "$/secrets"),
        ("GET", "$/configmaps"),
        ("POST", "$/serviceaccounts/manifold-node/token"),
        ("POST", "$/serviceaccounts/manifold-cluster/token"),
        ("POST", "/api/v1/namespaces/other/serviceaccounts/manifold-shim/token"),
        ("GET", "$/serviceaccounts/manifold-shim"),
        ("PATCH", "$/serviceaccounts/manifold-shim"),
        ("GET", "/api/v1/nodes/node-a"),
        ("GET", "/api/v1/nodes"),
        ("PATCH", "/api/v1/nodes/node-a"),
        ("PATCH", "/api/v1/nodes/node-a/status"),
        ("GET", "/apis/apps/v1/namespaces/manifold-system/daemonsets"),
    ];
    [rows(&pods, PODS), rows(&networks, DEFAULT_NETWORKS), rows(&rest, SYSTEM), addresses(true), elsewhere()]
        .concat()
}

fn cluster() -> Vec<Row> {
    let pods = [
        ("GET", "$/own"),
        ("POST", "$"),
        ("PUT", "$/own"),
        ("PATCH", "$/own"),
        ("PATCH", "$/own/status"),
        ("DELETE", "$/own"),
        ("DELETE", "$"),
        ("POST", "$/own/binding"),
        ("POST", "$/own/eviction"),
        ("POST", "$/own/exec?command=id"),
        ("PATCH", "$/own/ephemeralcontainers"),
        ("GET", "$/own/log"),
    ];
    let networks = [
        ("POST", "$"),
        ("PUT", "$/right"),
        ("DELETE", "$/right"),
        ("DELETE", "$"),
        ("PUT", "$/right/status"),
    ];
    let rest = [
        ("POST", "$/serviceaccounts/manifold-shim/token"),
        ("POST", "$/serviceaccounts/manifold-node/token"),
        ("POST", "$/serviceaccounts/manifold-cluster/token"),
        ("POST", "$/serviceaccounts"),
        ("GET", "$/secrets"),
        ("GET", "$/secrets/other"),
        ("DELETE", "$/secrets/manifold-webhook"),
        ("PATCH", "$/secrets/other"),
        ("PATCH", "$/secrets/manifold-webhook"),
        ("GET", "/api/v1/namespaces/shop/secrets/manifold-webhook"),
        ("POST", "/api/v1/namespaces/shop/secrets"),
        ("GET", "$/configmaps"),
        ("PATCH", "/api/v1/nodes/node-a"),
        ("DELETE", "/api/v1/nodes/node-b"),
    ];
    let objects = [
        ("DELETE", format!("{CRDS}/network-attachment-definitions.k8s.cni.cncf.io")),
        ("PUT", format!("{CRDS}/network-attachment-definitions.k8s.cni.cncf.io")),
        ("PATCH", format!("{ADMISSION}/validatingadmissionpolicies/manifold-network-in-use")),
        ("GET", format!("{ADMISSION}/validatingadmissionpolicies")),
        ("DELETE", format!("{ADMISSION}/validatingwebhookconfigurations/manifold")),
        ("PATCH", format!("{ADMISSION}/validatingwebhookconfigurations/other")),
        ("POST", format!("{ADMISSION}/validatingwebhookconfigurations")),
        (
            "GET",
            format!("{ADMISSION}/validatingwebhookconfigurations?fieldSelector=metadata.name%3Dmanifold"),
        ),
        ("DELETE", format!("{LEASES}/manifold-system/leases/manifold-controller")),
        ("PATCH", format!("{LEASES}/manifold-system/leases/manifold-controller")),
        ("PUT", format!("{LEASES}/kube-system/leases/kube-scheduler")),
        ("POST", format!("{LEASES}/kube-system/leases")),
    ];
    let objects = objects.map(|(method, path)| (method, path)).into();
    [rows(&pods, PODS), rows(&networks, NETWORKS), rows(&rest, SYSTEM), objects, elsewhere()].concat()
}

/// What nobody of ours may.
fn elsewhere() -> Vec<Row> {
    vec![
        ("GET", format!("{RBAC}/clusterroles")),
        ("POST", format!("{RBAC}/clusterrolebindings")),
        ("PATCH", format!("{RBAC}/clusterroles/manifold-shim")),
        ("POST", CRDS.to_string()),
        ("PATCH", format!("{CRDS}/other.example.com")),
        ("DELETE", format!("{ADMISSION}/validatingadmissionpolicies/manifold-network-in-use")),
        ("DELETE", format!("{ADMISSION}/validatingadmissionpolicybindings/manifold-network-in-use")),
        ("POST", format!("{ADMISSION}/validatingadmissionpolicies")),
        ("POST", format!("{ADMISSION}/mutatingwebhookconfigurations")),
        ("GET", EVENTS.to_string()),
        ("DELETE", EVENTS.to_string()),
        ("POST", "/apis/apps/v1/namespaces/manifold-system/deployments".to_string()),
        ("POST", "/apis/batch/v1/namespaces/shop/jobs".to_string()),
    ]
}

/// `None`: RBAC refused it, which happens before any policy is asked.
fn not_refused(bed: &Bed, who: Who, (method, path): &Row) -> Option<String> {
    let kind = if *method == "PATCH" { How::Merge.content_type() } else { "application/json" };
    let answer = bed.as_(who).call(method, path, kind, b"{}").unwrap();
    let told = message(&answer);
    let refused =
        answer.status == 403 && told.contains(" cannot ") && !told.contains("ValidatingAdmissionPolicy");
    (!refused).then(|| format!("{who:?} {method} {path}: {} {told}", answer.status))
}

fn check(bed: &Bed, who: Who, rows: &[Row]) {
    let wrong: Vec<String> = rows.iter().filter_map(|row| not_refused(bed, who, row)).collect();
    assert!(wrong.is_empty(), "of {} rows:\n{}", rows.len(), wrong.join("\n"));
}

fn make_objects(bed: &Bed) {
    let own = new_pod(json!({"name": "own", "annotations": {PLAIN: "0"}}), Some(NODE_A));
    bed.api.client().create_if_missing(PODS, &own).unwrap();
    let right = crate::objects::new_network(json!({"name": "right"}), "{}");
    bed.api.client().create_if_missing(NETWORKS, &right).unwrap();
}

// Proves: S-4
#[test]
fn rbac_refuses_each_identity_what_is_not_its_work() {
    let bed = shipped();
    make_objects(&bed);
    let (shim, node, cluster) = (shim(), node(), cluster());
    assert!(shim.len() >= 50 && shim.len() + node.len() + cluster.len() >= 120);
    check(&bed, Who::Shim, &shim);
    check(&bed, Who::Node, &node);
    check(&bed, Who::Cluster, &cluster);
    // The twins: what each does all day.
    bed.must(Who::Shim, "GET", &format!("{NETWORKS}/right"), "", &Value::Null);
    let status = annotations(json!({STATUS: "[]"}));
    bed.must(Who::Shim, "PATCH", &format!("{PODS}/own/status"), How::Merge.content_type(), &status);
    bed.must(Who::Node, "GET", &format!("{DEFAULT_NETWORKS}/cluster-wide-network"), "", &Value::Null);
    bed.must(Who::Cluster, "GET", "/api/v1/pods?limit=1", "", &Value::Null);
    optional_files(&bed);
}

/// The three files that only some clusters apply grant one verb, or three, and nothing beside.
fn optional_files(bed: &Bed) {
    let optional: Vec<Value> = manifests::read("deploy/rbac")
        .into_iter()
        .filter(|(file, _)| OPTIONAL.contains(&&**file))
        .map(|(_, object)| object)
        .collect();
    assert_eq!(optional.len(), 6);
    optional.iter().for_each(|object| manifests::apply(bed.api.client(), object));
    let granted = [
        (Who::Shim, format!("{PODS}/own")),
        (Who::Node, "/api/v1/nodes/node-b".to_string()),
        (Who::Node, "/api/v1/nodes".to_string()),
        (Who::Node, "/api/v1/nodes?watch=true&timeoutSeconds=1".to_string()),
    ];
    for (who, path) in &granted {
        wait(&format!("{who:?} may GET {path}"), || {
            let answer = bed.as_(*who).get(path).unwrap();
            if answer.ok() { Ok(()) } else { Err(message(&answer)) }
        });
    }
    let is_granted = |(method, path): &Row| *method == "GET" && granted.iter().any(|(_, g)| g == path);
    let rest = |rows: Vec<Row>| rows.into_iter().filter(|row| !is_granted(row)).collect::<Vec<_>>();
    let of_node = |row: &Row| !(row.0 == "GET" && row.1.starts_with("/api/v1/nodes"));
    check(bed, Who::Shim, &rest(shim()));
    check(bed, Who::Node, &rest(node()).into_iter().filter(of_node).collect::<Vec<_>>());
    for object in optional {
        bed.must(Who::Admin, "DELETE", &manifests::place(&object), "", &Value::Null);
    }
    for (who, path) in granted {
        wait(&format!("{who:?} may no longer GET {path}"), || {
            not_refused(bed, who, &("GET", path.clone())).map_or(Ok(()), Err)
        });
    }
}

/// Whatever it tries, and although RBAC itself cannot tell nodes apart.
// Proves: S-4
#[test]
fn a_token_stolen_on_one_node_changes_nothing_of_another() {
    let bed = shipped();
    let pod = |name: &str| format!("{PODS}/{name}");
    let (theirs, own) = (bed.fresh("theirs"), bed.fresh("own"));
    for (name, node) in [(&theirs, NODE_B), (&own, NODE_A)] {
        let fresh = new_pod(json!({"name": name, "annotations": {PLAIN: "0"}}), Some(node));
        bed.must(Who::Admin, "POST", PODS, "application/json", &fresh);
    }
    let published = annotations(json!({STATUS: "[{\"name\": \"theirs\"}]"}));
    let path = format!("{}/status", pod(&theirs));
    bed.must(Who::ShimOfB, "PATCH", &path, How::Merge.content_type(), &published);
    let before = bed.must(Who::Admin, "GET", &pod(&theirs), "", &Value::Null);
    let changes = [
        annotations(json!({STATUS: "[]"})),
        annotations(json!({STATUS: null})),
        annotations(json!({PLAIN: "1"})),
        json!({"metadata": {"labels": {"app": "x"}}}),
        json!({"metadata": {"finalizers": ["example.com/stay"]}}),
        json!({"status": {"phase": "Failed"}}),
        json!({}),
    ];
    for change in &changes {
        for how in [How::Merge, How::Strategic, How::Json, How::Apply] {
            let body = how.body(&before, change).to_string();
            let url = format!("{path}{}", how.query());
            let answer = bed.as_(Who::Shim).call("PATCH", &url, how.content_type(), body.as_bytes()).unwrap();
            assert_eq!(answer.status, 403, "{change} {how:?}: {}", answer.text());
        }
    }
    for (method, below) in [("DELETE", ""), ("PUT", "/status"), ("POST", "/eviction"), ("GET", "")] {
        let answer =
            bed.as_(Who::Shim).call(method, &format!("{}{below}", pod(&theirs)), "application/json", b"{}");
        assert_eq!(answer.unwrap().status, 403, "{method} {below}");
    }
    let after = bed.must(Who::Admin, "GET", &pod(&theirs), "", &Value::Null);
    for part in ["/metadata/annotations", "/metadata/labels", "/metadata/finalizers", "/spec"] {
        assert_eq!(before.pointer(part), after.pointer(part), "{part}");
    }
    // The same token, the same words, its own node.
    let own = Attempt::path(Who::Shim, How::Merge, &format!("{}/status", pod(&own)), published).run(&bed);
    assert!(own.answer.ok(), "{}", own.message());
}

/// Who writes a definition is near root on the nodes: `edit` and `admin` only read.
#[test]
fn whoever_views_a_namespace_sees_its_networks_and_nobody_writes_them() {
    let bed = shipped();
    make_objects(&bed);
    for role in ["view", "edit", "admin"] {
        let who = bed.person(role);
        wait(&format!("`{role}` lists networks"), || {
            let answer = who.get(NETWORKS).unwrap();
            if answer.ok() { Ok(()) } else { Err(message(&answer)) }
        });
        assert!(who.get(&format!("{NETWORKS}/right")).unwrap().ok());
        let writes = [
            ("POST", ""),
            ("PATCH", "/right"),
            ("PUT", "/right"),
            ("DELETE", "/right"),
            ("PATCH", "/right/status"),
        ];
        for (method, below) in writes {
            let kind = if method == "PATCH" { How::Merge.content_type() } else { "application/json" };
            let answer = who.call(method, &format!("{NETWORKS}{below}"), kind, b"{}").unwrap();
            assert_eq!(answer.status, 403, "{role} {method} {below}: {}", answer.text());
        }
        assert_eq!(
            who.get(DEFAULT_NETWORKS).unwrap().status,
            403,
            "{role} reads of a namespace that is not its own"
        );
    }
}
