//! Which pods use a definition, as the controller wrote it on the definition itself: a webhook never lists pods (S-19).

use manifold_crds::NadStatus;
use manifold_crds::nad_status::IN_USE_FINALIZER;

/// The pods in the way, in words; `None` where no pod uses the definition.
pub(super) fn pods_in_the_way(finalizers: &[String], status: &NadStatus) -> Option<String> {
    let kept = finalizers.iter().any(|f| f == IN_USE_FINALIZER);
    match (status.pods, status.pod_names.as_slice()) {
        (0, []) if !kept => None,
        // The finalizer is set at the first use, the count within seconds of it.
        (0, []) => Some("pods use it".to_owned()),
        (count, names) => Some(counted(count, names)),
    }
}

fn counted(count: u64, names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().map(|n| format!("`{}`", manifold_cni::name::printable(n))).collect();
    let rest = count.saturating_sub(shown.len() as u64);
    let pods = if count == 1 { "1 pod uses it".to_owned() } else { format!("{count} pods use it") };
    match (shown.is_empty(), rest) {
        (true, _) => pods,
        (false, 0) => format!("{pods}: {}", shown.join(", ")),
        (false, rest) => format!("{pods}: {} and {rest} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kept: bool, pods: u64, names: &[&str], expected: Option<&str>) {
        let finalizers = if kept { vec![IN_USE_FINALIZER.to_owned()] } else { vec!["other".to_owned()] };
        let pod_names = names.iter().map(ToString::to_string).collect();
        let status = NadStatus { pods, pod_names, ..NadStatus::default() };
        assert_eq!(pods_in_the_way(&finalizers, &status).as_deref(), expected);
    }

    // Proves: P-USE-5
    #[test]
    fn the_first_pods_are_named_and_the_rest_counted() {
        check(false, 0, &[], None);
        check(true, 0, &[], Some("pods use it"));
        check(true, 1, &["shop/a"], Some("1 pod uses it: `shop/a`"));
        check(true, 2, &["shop/a", "shop/b"], Some("2 pods use it: `shop/a`, `shop/b`"));
        check(true, 30, &["shop/a", "shop/b"], Some("30 pods use it: `shop/a`, `shop/b` and 28 more"));
        check(false, 3, &[], Some("3 pods use it"));
    }
}
