//! What the policies cost the API server, and that no pod makes them expensive.

use std::time::{Duration, Instant};

use manifold_e2e::controller::Metrics;
use serde_json::{Map, Value, json};

use crate::attempt::{PLAIN, STATUS};
use crate::bed::{Bed, NODE_A, PODS, open_alone, shipped};
use crate::cases::{A1, A2, B, C1, E_PODS};
use crate::denied::without;
use crate::identity::Who;
use crate::objects::{annotations, new_pod};
use crate::patch::How;

/// What the shim gives its PATCH of a status.
const BUDGET: Duration = Duration::from_secs(2);

fn crowded_pod(bed: &Bed, count: usize) -> String {
    let name = bed.fresh("crowded");
    let map: Map<_, _> = (0..count).map(|n| (n.to_string(), Value::from(""))).collect();
    let pod = new_pod(json!({"name": name, "annotations": map}), Some(NODE_A));
    bed.must(Who::Admin, "POST", PODS, "application/json", &pod);
    format!("{PODS}/{name}/status")
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// How often a cost is taken where the machine seems to be too busy for a figure.
const ATTEMPTS: usize = 20;

/// Its checks cost the square of the annotations: 1,024 must cost next to nothing still.
#[test]
fn the_shims_patch_of_the_most_crowded_pod_stays_within_its_budget() {
    let bed = shipped();
    let path = crowded_pod(&bed, 1024);
    let mut took = Vec::new();
    while took.len() < ATTEMPTS && took.last().is_none_or(|last| *last >= BUDGET) {
        let patch = annotations(json!({STATUS: format!("[{}]", took.len())}));
        took.push(timed(|| drop(bed.must(Who::Shim, "PATCH", &path, How::Merge.content_type(), &patch))));
    }
    println!("the status of a pod with 1,024 annotations: {took:?}");
    assert!(took.last().is_some_and(|last| *last < BUDGET), "{took:?}");
}

/// Pods of before the policies, at every update of their kubelet. Looked at one by one, 256 KiB of annotations would cost
/// the server many seconds each time: the square of their number.
#[test]
fn a_kubelets_update_of_a_pod_with_more_annotations_than_are_checked_passes_and_costs_their_number_at_most() {
    const FEW: usize = 5_000;
    const TIMES: usize = 5;
    let bed = open_alone();
    let (mut few, mut many) = (String::new(), String::new());
    without(&bed, B, || (few, many) = (crowded_pod(&bed, FEW), crowded_pod(&bed, FEW * TIMES)));
    // The least of some, for others use the machine too.
    let (mut cost_of_few, mut cost_of_many) = (f64::INFINITY, f64::INFINITY);
    // Their number would be 5, the square of it 25.
    let most = |few: f64| 15.0 * few + 0.5;
    for attempt in 0..ATTEMPTS {
        if attempt >= 4 && cost_of_many < most(cost_of_few) {
            break;
        }
        cost_of_few = cost_of_few.min(cost_of_an_update(&bed, &few));
        cost_of_many = cost_of_many.min(cost_of_an_update(&bed, &many));
    }
    println!(
        "a kubelet's update in policies: {cost_of_few:.3} s with {FEW} annotations, {cost_of_many:.3} s with {TIMES} times as many"
    );
    assert!(cost_of_many < most(cost_of_few));
    for (who, key) in [(Who::Shim, STATUS), (Who::Admin, PLAIN)] {
        let change = annotations(json!({key: "[]"})).to_string();
        let answer = bed.as_(who).call("PATCH", &many, How::Merge.content_type(), change.as_bytes()).unwrap();
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}

fn cost_of_an_update(bed: &Bed, path: &str) -> f64 {
    let before = bed.admission();
    let patch = json!({"status": {"phase": "Running", "message": bed.fresh("turn")}});
    bed.must(Who::Kubelet, "PATCH", path, How::Strategic.content_type(), &patch);
    bed.admission().0 - before.0
}

/// Each step of a policy has the server turn the whole pod, before and after, into what expressions are about: match
/// conditions are one step, what comes behind them is three. A kubelet updates each pod a dozen times.
#[test]
fn a_kubelets_update_ends_in_the_match_conditions_of_every_policy() {
    const UPDATES: usize = 20;
    let bed = open_alone();
    let path = crowded_pod(&bed, 8);
    let policies = [A1, B, C1, E_PODS];
    let (before, clock) = (policies.map(|policy| bed.let_off(policy)), bed.admission());
    for n in 0..UPDATES {
        let patch = json!({"status": {"phase": "Running", "message": n.to_string()}});
        bed.must(Who::Kubelet, "PATCH", &path, How::Strategic.content_type(), &patch);
    }
    let (after, seconds) = (policies.map(|policy| bed.let_off(policy)), bed.admission().0 - clock.0);
    println!("a kubelet's update: {:.3} ms in all policies", seconds * 1000.0 / UPDATES as f64);
    for ((policy, before), after) in policies.iter().zip(before).zip(after) {
        assert!(after - before >= UPDATES as f64, "`{policy}` let off {} of {UPDATES}", after - before);
    }
}

/// By the server's own clock. What is printed is the figure; the bound only tells a mistake from a slow machine.
#[test]
fn the_policies_of_a_status_patch_cost_less_than_its_budget_by_far() {
    let bed = open_alone();
    let path = crowded_pod(&bed, 8);
    let with = seconds_of_a_patch(&bed, &path);
    let mut without_shims = 0.0;
    without(&bed, A1, || without(&bed, A2, || without_shims = seconds_of_a_patch(&bed, &path)));
    println!(
        "a status PATCH: {:.3} ms in all policies, {:.3} ms of it in those of the shim",
        with * 1000.0,
        (with - without_shims) * 1000.0
    );
    assert!(with < BUDGET.as_secs_f64() / 20.0, "{with} s");
}

/// In policies, on average.
fn seconds_of_a_patch(bed: &Bed, path: &str) -> f64 {
    const PATCHES: usize = 100;
    let before = bed.admission();
    for n in 0..PATCHES {
        let patch = annotations(json!({STATUS: format!("[{n}]")}));
        bed.must(Who::Shim, "PATCH", path, How::Merge.content_type(), &patch);
    }
    let after = bed.admission();
    assert!(after.1 - before.1 >= PATCHES as f64, "the policies were asked {} times", after.1 - before.1);
    (after.0 - before.0) / (after.1 - before.1)
}

impl Bed {
    /// The seconds that all policies took for updates so far, and how many updates.
    fn admission(&self) -> (f64, f64) {
        let metrics = self.metrics();
        let total = |what: &str| {
            let name = format!("apiserver_admission_controller_admission_duration_seconds_{what}{{");
            let labels = ["name=\"ValidatingAdmissionPolicy\"", "operation=\"UPDATE\"", "rejected=\"false\""];
            let of_it =
                |line: &&str| line.starts_with(&name) && labels.iter().all(|label| line.contains(label));
            metrics
                .lines()
                .filter(of_it)
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        (total("sum"), total("count"))
    }

    /// How many updates ended in the match conditions of this policy.
    fn let_off(&self, policy: &str) -> f64 {
        let labels = [("kind", "policy"), ("name", policy), ("operation", "UPDATE")];
        Metrics(self.metrics()).sum("apiserver_admission_match_condition_evaluation_seconds_count", &labels)
    }

    pub(crate) fn metrics(&self) -> String {
        self.api.client().get("/metrics").unwrap().text()
    }
}
