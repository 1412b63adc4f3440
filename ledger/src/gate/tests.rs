use super::*;

fn soon(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn enter(gate: Gate, state: &Path, networks: &[&str], ms: u64) -> Result<Pass, NoPlace> {
    gate.enter(state, networks, soon(ms), &|| Ok(()))
}

/// Everybody that fits.
fn fill(gate: Gate, state: &Path, places: usize, networks: impl Fn(usize) -> Vec<String>) -> Vec<Pass> {
    let one = |n: usize| {
        let networks = networks(n);
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        enter(gate, state, &networks, 2000).unwrap()
    };
    (0..places).map(one).collect()
}

fn own_network(n: usize) -> Vec<String> {
    vec![format!("shop/network-{n}")]
}

// Shows part of: F-RUN-4
#[test]
fn who_finds_no_place_in_time_is_told_to_try_again() {
    let dir = tempfile::tempdir().unwrap();
    for (gate, places, networks) in [(Gate::Add, 32, 1), (Gate::Add, 16, 0), (Gate::Ask, 16, 0)] {
        let of = |n| own_network(n).into_iter().take(networks).collect();
        let held = fill(gate, dir.path(), places, of);
        let mine: Vec<&str> = ["shop/mine"].into_iter().take(networks).collect();
        let refused = CniError::from(enter(gate, dir.path(), &mine, 30).unwrap_err());
        assert_eq!(refused.code, code::TRY_AGAIN);
        assert!(refused.msg.starts_with(&format!("{places} calls")), "{refused}");
        drop(held);
        assert!(enter(gate, dir.path(), &mine, 2000).is_ok());
    }
}

// Proves: S-3
#[test]
fn a_gate_that_comes_first_makes_the_folders_for_root_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("cni/manifold");
    drop(fill(Gate::Add, &state, 2, |_| vec!["shop/storage".into()]));
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(".gate"))), (0o700, 0o700));
    for file in ["add-0", "add-first-0", "add-queue", "add-networks", "add-networks-queue"] {
        assert_eq!(mode(&state.join(".gate").join(file)), 0o600, "{file}");
    }
    assert_ne!(mode(&dir.path().join("cni")), 0o700, "what is above is not ours to close");
}

// Shows part of: F-RUN-4, F-RUN-8
#[test]
fn full_places_of_one_kind_hold_up_no_other_kind() {
    let dir = tempfile::tempdir().unwrap();
    let _adds = fill(Gate::Add, dir.path(), 32, own_network);
    let _asking = fill(Gate::Ask, dir.path(), 16, |_| Vec::new());
    let _dels = fill(Gate::Del, dir.path(), 24, own_network);
    for gate in [Gate::Add, Gate::Del] {
        assert!(enter(gate, dir.path(), &["shop/late"], 20).is_err(), "{gate:?} is full for these");
        assert!(enter(gate, dir.path(), &[], 2000).is_ok(), "a plain pod at {gate:?}");
    }
}

// Shows part of: F-RUN-8
#[test]
fn one_network_takes_only_some_of_the_places() {
    let dir = tempfile::tempdir().unwrap();
    for (gate, cap) in [(Gate::Add, 8), (Gate::Del, 4)] {
        let held = fill(gate, dir.path(), cap, |_| vec!["shop/hangs".into()]);
        let refused = CniError::from(enter(gate, dir.path(), &["shop/hangs"], 30).unwrap_err());
        assert!(
            refused.msg.contains(&format!("{cap} calls")) && refused.msg.contains("`shop/hangs`"),
            "{refused}"
        );
        assert!(enter(gate, dir.path(), &["shop/works"], 2000).is_ok());
        drop(held);
        assert!(enter(gate, dir.path(), &["shop/hangs"], 2000).is_ok());
    }
}

// Shows part of: F-RUN-8
#[test]
fn networks_that_hang_leave_a_place_for_one_pod_of_each_other() {
    for (gate, others) in [(Gate::Add, 12), (Gate::Del, 8)] {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Vec::new();
        for network in ["shop/a", "shop/b", "shop/c", "shop/d"] {
            let before = held.len();
            while let Ok(pass) = enter(gate, dir.path(), &[network], 20) {
                held.push(pass);
            }
            assert!(held.len() > before, "`{network}` at {gate:?}");
        }
        held.extend(fill(gate, dir.path(), others, own_network));
        // With a network that is inside already a pod waits, unless another of its networks is not.
        assert!(enter(gate, dir.path(), &["shop/network-0"], 20).is_err());
        held.pop();
        assert!(enter(gate, dir.path(), &["shop/network-0", "shop/new"], 2000).is_ok());
    }
}

// Shows part of: F-RUN-8
#[test]
fn who_waits_for_one_network_holds_no_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let held = fill(Gate::Add, dir.path(), 8, |_| vec!["shop/hangs".into()]);
    std::thread::scope(|scope| {
        let both = || drop(enter(Gate::Add, dir.path(), &["shop/works", "shop/hangs"], 60_000).unwrap());
        let waiting: Vec<_> = (0..9).map(|_| scope.spawn(both)).collect();
        let queued = || std::fs::read_to_string("/proc/locks").unwrap().contains("->");
        while !queued() {
            std::thread::yield_now();
        }
        let of_works = fill(Gate::Add, dir.path(), 8, |_| vec!["shop/works".into()]);
        drop((of_works, held));
        waiting.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn a_wait_ends_when_the_caller_is_not_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let stop = || Err(CniError::new(code::TRY_AGAIN, "DEL waits"));
    let _held = fill(Gate::Add, dir.path(), 16, |_| Vec::new());
    let _of_one = fill(Gate::Add, dir.path(), 8, |_| vec!["shop/hangs".into()]);
    for networks in [&[][..], &["shop/hangs"]] {
        // The first of the queue, and one behind it.
        std::thread::scope(|scope| {
            let waits = || Gate::Add.enter(dir.path(), networks, soon(60_000), &stop).unwrap_err();
            for waiting in [scope.spawn(waits), scope.spawn(waits)] {
                assert_eq!(CniError::from(waiting.join().unwrap()).msg, "DEL waits");
            }
        });
    }
}

#[test]
fn a_freed_place_is_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = fill(Gate::Add, dir.path(), 16, |_| Vec::new());
    let path = dir.path().to_owned();
    let waiter = std::thread::spawn(move || {
        let pass = enter(Gate::Add, &path, &[], 20_000);
        (pass.is_ok(), Instant::now())
    });
    std::thread::sleep(Duration::from_millis(100));
    let freed = Instant::now();
    held.remove(7);
    let (entered, at) = waiter.join().unwrap();
    assert!(entered && at.duration_since(freed) < Duration::from_secs(10));
}

#[test]
fn without_a_folder_to_lock_in_there_is_no_gate() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for _ in 0..20 {
        assert!(enter(Gate::Del, &dir.path().join("file"), &["shop/storage"], 2000).is_ok());
    }
}
