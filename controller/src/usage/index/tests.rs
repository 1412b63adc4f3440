use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn nad(n: u8) -> NadRef {
    NadRef::new("shop", &format!("net-{n}")).unwrap()
}

fn seen(uid: u8, version: u64, networks: &[u8], awaits_status: bool) -> Seen {
    Seen {
        uid: Uid::new(uid.into()),
        namespace: format!("home-{}", uid % 3),
        // Two pods have one name now and then.
        name: format!("pod-{}", uid % 50),
        version,
        networks: networks.iter().map(|n| nad(*n)).collect(),
        awaits_status,
    }
}

/// What anybody would do with all memory of the world: keep the last word on each pod, count from the start.
#[derive(Default)]
struct Naive(BTreeMap<u8, Seen>);

impl Naive {
    #[track_caller]
    fn agrees(&self, index: &mut Index) {
        let mut used = 0;
        for n in 0..6 {
            let mut names: Vec<Named> = Vec::new();
            for pod in self.0.values().filter(|pod| pod.networks.contains(&nad(n))) {
                names.push((format!("{}/{}", pod.namespace, pod.name), pod.uid));
            }
            names.sort();
            let (count, first) = index.users(&nad(n));
            assert_eq!(count, names.len() as u64);
            assert_eq!(first, names.iter().take(10).map(|(name, _)| name.clone()).collect::<Vec<_>>());
            let foreign = names.iter().filter(|(name, _)| !name.starts_with("shop/")).count() as u64;
            assert_eq!(index.foreign_users(&nad(n), 10).0, foreign);
            used += usize::from(count > 0);
        }
        assert_eq!(index.used(), used);
        assert_eq!(index.pods(), self.0.len());
        let awaiting = self.0.values().filter(|p| p.awaits_status).map(|p| p.uid).collect::<HashSet<_>>();
        assert_eq!(*index.awaiting(), awaiting);
        let namespaces = self.0.values().map(|p| p.namespace.clone()).collect::<BTreeSet<_>>();
        assert_eq!(index.namespaces.len(), namespaces.len());
        let sets = self.0.values().map(|p| p.networks.clone()).collect::<BTreeSet<_>>();
        assert_eq!(index.sets.len(), sets.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, bool),
    Gone,
    /// The same event once more.
    Again,
    /// An event from before the last one about this pod.
    Late(Vec<u8>),
    LateGone,
    List,
    /// A list that ends in the middle, after which there is another.
    BrokenList,
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let networks = || proptest::sample::subsequence((0..6u8).collect::<Vec<_>>(), 0..4);
    let step = prop_oneof![
        8 => (networks(), any::<bool>()).prop_map(|(n, awaits)| Step::Set(n, awaits)),
        4 => Just(Step::Gone),
        2 => Just(Step::Again),
        2 => networks().prop_map(Step::Late),
        1 => Just(Step::LateGone),
        1 => Just(Step::List),
        1 => Just(Step::BrokenList),
    ];
    proptest::collection::vec((0..120u8, step), 0..400)
}

/// Does one step to both, and returns the event for a repetition.
fn play(
    index: &mut Index,
    naive: &mut Naive,
    last: &mut BTreeMap<u8, (u64, Option<Seen>)>,
    clock: &mut u64,
    (uid, step): (u8, Step),
) {
    *clock += 10;
    match step {
        Step::Set(networks, awaits) => {
            let pod = seen(uid, *clock, &networks, awaits);
            index.set(pod.clone());
            naive.0.insert(uid, pod.clone());
            last.insert(uid, (*clock, Some(pod)));
        }
        Step::Gone => {
            index.remove(Uid::new(uid.into()), *clock);
            naive.0.remove(&uid);
            last.insert(uid, (*clock, None));
        }
        Step::Again => match last.get(&uid) {
            Some((_, Some(pod))) => index.set(pod.clone()),
            Some((version, None)) => index.remove(Uid::new(uid.into()), *version),
            None => {}
        },
        Step::Late(networks) => {
            if let Some((version, _)) = last.get(&uid) {
                index.set(seen(uid, version - 5, &networks, true));
            }
        }
        Step::LateGone => {
            if let Some((version, _)) = last.get(&uid) {
                index.remove(Uid::new(uid.into()), version - 5);
            }
        }
        Step::List | Step::BrokenList => {
            if matches!(step, Step::BrokenList) {
                index.list_begins();
                naive.0.values().take(2).for_each(|pod| index.listed(pod.clone()));
            }
            index.list_begins();
            naive.0.values().for_each(|pod| index.listed(pod.clone()));
            index.list_ends();
        }
    }
}

proptest! {
    // Proves: F-CTL-4
    #[test]
    fn it_is_what_a_naive_recount_says_whatever_the_watch_does(steps in steps()) {
        let (mut index, mut naive) = (Index::default(), Naive::default());
        let (mut last, mut clock) = (BTreeMap::new(), 100);
        index.list_begins();
        index.list_ends();
        for step in steps {
            play(&mut index, &mut naive, &mut last, &mut clock, step);
        }
        naive.agrees(&mut index);
    }

    // Proves: F-CTL-4
    #[test]
    fn after_a_list_it_is_what_a_fresh_start_would_be(steps in steps(), now in proptest::collection::btree_map(0..120u8, proptest::sample::subsequence((0..6u8).collect::<Vec<_>>(), 0..4), 0..60)) {
        let (mut index, mut naive) = (Index::default(), Naive::default());
        let (mut last, mut clock) = (BTreeMap::new(), 100);
        for step in steps {
            play(&mut index, &mut naive, &mut last, &mut clock, step);
        }
        // The list's versions are low, as after a restore of the store.
        let now = Naive(now.into_iter().map(|(uid, networks)| (uid, seen(uid, 7, &networks, uid % 2 == 0))).collect());
        index.list_begins();
        now.0.values().for_each(|pod| index.listed(pod.clone()));
        index.list_ends();
        now.agrees(&mut index);
    }
}

#[test]
fn nothing_is_complete_before_the_first_whole_list() {
    let mut index = Index::default();
    assert!(!index.is_complete());
    index.list_ends();
    assert!(!index.is_complete());
    index.list_begins();
    index.list_begins();
    assert!(!index.is_complete());
    index.list_ends();
    assert!(index.is_complete());
    index.list_begins();
    assert!(index.is_complete(), "what was known stays known while it is listed again");
}

#[test]
fn only_definitions_whose_users_changed_are_told() {
    let mut index = Index::default();
    index.set(seen(1, 1, &[0, 1], false));
    assert_eq!(index.take_changed(), BTreeSet::from([nad(0), nad(1)]));
    index.set(seen(1, 2, &[0, 1], true));
    assert_eq!(index.take_changed(), BTreeSet::new());
    index.remove(Uid::new(1), 3);
    assert_eq!(index.take_changed(), BTreeSet::from([nad(0), nad(1)]));
    index.remove(Uid::new(1), 3);
    assert_eq!(index.take_changed(), BTreeSet::new());
}

#[test]
fn a_pod_that_takes_anothers_name_is_told_though_the_other_goes_later() {
    let mut index = Index::default();
    index.set(Seen { name: "same".into(), namespace: "shop".into(), ..seen(1, 1, &[0], false) });
    index.set(Seen { name: "same".into(), namespace: "shop".into(), ..seen(2, 2, &[0], false) });
    index.remove(Uid::new(1), 3);
    assert_eq!(index.users(&nad(0)), (1, vec!["shop/same".to_owned()]));
}

/// What the process holds, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_cluster_of_150_000_pods_is_small() {
    let before = resident();
    let mut index = Index::default();
    index.list_begins();
    for n in 0..150_000u32 {
        let second = (n % 5 < 2).then(|| NadRef::new("shop", &format!("net-{}", n % 500)).unwrap());
        let default = NadRef::new("manifold-system", "cluster-wide-network").unwrap();
        index.listed(Seen {
            uid: Uid::new(u128::from(n) << 64 | 7),
            namespace: format!("namespace-{}", n % 1000),
            name: format!("some-deployment-6b7f9d8c5d-{n:05}"),
            version: u64::from(n),
            networks: [default].into_iter().chain(second).collect(),
            awaits_status: n % 100 == 0,
        });
    }
    index.list_ends();
    let each = resident().saturating_sub(before) / index.pods();
    eprintln!("{each} bytes a pod");
    // 400 MB is what the whole controller may have.
    assert!(each < 600, "{each} bytes a pod");
}
