use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::node::rival::Rival;

const CALICO: &str = r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico"}]}"#;
const NAME: &str = "00-manifold.conflist";

struct Node {
    _dir: tempfile::TempDir,
    keeper: Keeper,
    told: Told,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.host.root = dir.path().to_owned();
        config.default_network.source = DefaultSource::Existing;
        durable::folder(&config.host.conf(), 0o755).unwrap();
        durable::folder(&config.host.bin(), 0o755).unwrap();
        config.executable.source = dir.path().join("source");
        fs::write(&config.executable.source, "executable").unwrap();
        let keeper = Keeper::new(config).unwrap();
        Self { _dir: dir, keeper, told: Told::default(), now: Instant::now() }
    }

    /// One that serves.
    fn serving() -> Self {
        let mut node = Self::new();
        node.put("10-calico.conflist", CALICO);
        fs::write(node.keeper.config.host.bin().join("calico"), "x").unwrap();
        fs::set_permissions(node.keeper.config.host.bin().join("calico"), fs::Permissions::from_mode(0o755))
            .unwrap();
        node.told = Told { nad: Some(nad(None)), credentials: true, runtime: Some(None), ..Told::default() };
        let round = node.round();
        assert_eq!(round.missing, Vec::<String>::new());
        assert!(round.did.contains(&Did::WroteConfiguration(NAME.into())), "{round:?}");
        assert_eq!(node.round(), Round::default());
        node
    }

    fn round(&mut self) -> Round {
        self.keeper.round(&self.told, self.now)
    }

    fn conf(&self, name: &str) -> std::path::PathBuf {
        self.keeper.config.host.conf().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.conf(name), text).unwrap();
    }

    fn configurations(&self) -> Vec<String> {
        let files = read_all(&self.keeper.config.host.conf(), conflist::is_configuration);
        files.into_iter().map(|(name, _)| name).collect()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.conf(NAME)).unwrap_or_default()
    }
}

fn nad(config: Option<&str>) -> Nad {
    Nad::new(NadRef::new("manifold-system", "cluster-wide-network").unwrap(), config)
}

// Proves: F-NOD-5, P-UP-9
// Proves: NPWG-6.1-1, MLT-DEP-17
#[test]
fn the_configuration_is_not_written_before_an_add_can_be_served() {
    let mut node = Node::new();
    let mut step = |change: &dyn Fn(&mut Node), words: &str| {
        change(&mut node);
        let round = node.round();
        assert!(round.missing.iter().any(|m| m.contains(words)), "{words}: {round:?}");
        assert!(!node.conf(NAME).exists(), "{words}");
    };
    step(&|n| n.keeper.config.default_network.source = DefaultSource::Unmanaged, "is not known yet");
    step(
        &|n| n.keeper.config.default_network.source = DefaultSource::Existing,
        "there is no network configuration in the folder",
    );
    step(&|n| n.told.nad = Some(nad(None)), "there is no network configuration in the folder");
    step(&|n| n.put("10-calico.conflist", "{torn"), "no network configuration in the folder is named");
    step(
        &|n| n.put("10-calico.conflist", r#"{"name":"x","plugins":[{"type":"manifold"}]}"#),
        "no network configuration",
    );
    step(&|n| n.put("10-calico.conflist", CALICO), "needs the plugin `calico`");
    let calico = |n: &mut Node| {
        let path = n.keeper.config.host.bin().join("calico");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    step(&calico, "no credentials");
    step(&|n| n.told.credentials = true, "of the container runtime is not known yet");
    node.told.runtime = Some(None);
    assert_eq!(node.round().missing, Vec::<String>::new());
    assert_eq!(node.configurations(), [NAME, "10-calico.conflist"]);
}

// Proves: P-UP-3
#[test]
fn a_configuration_that_is_removed_renamed_truncated_or_outranked_is_restored() {
    let whole = Node::serving().text();
    type Undo<'a> = (&'a str, &'a dyn Fn(&Node));
    let undo: [Undo<'_>; 4] = [
        ("removed", &|n| fs::remove_file(n.conf(NAME)).unwrap()),
        ("renamed", &|n| fs::rename(n.conf(NAME), n.conf("00-manifold.conflist.bak")).unwrap()),
        ("truncated", &|n| n.put(NAME, "")),
        ("changed", &|n| n.put(NAME, r#"{"name":"manifold","plugins":[]}"#)),
    ];
    for (what, undo) in undo {
        let mut node = Node::serving();
        undo(&node);
        let round = node.round();
        assert!(
            matches!(&round.did[..], [Did::RestoredConfiguration(name, _)] if name == NAME),
            "{what}: {round:?}"
        );
        assert_eq!(node.text(), whole, "{what}");
    }
    let mut node = Node::serving();
    node.put("00-a.conf", CALICO);
    node.round();
    assert_eq!(node.configurations(), ["00-!manifold.conflist", "00-a.conf", "10-calico.conflist"]);
    fs::remove_file(node.conf("00-a.conf")).unwrap();
    assert_eq!(node.round(), Round::default(), "first as it is");
}

// Proves: COMPAT-32
#[test]
fn cilium_is_named_with_its_value_each_time_it_renames_the_configuration() {
    let mut node = Node::serving();
    let copy = node.conf("00-manifold.conflist.cilium_bak");
    fs::rename(node.conf(NAME), &copy).unwrap();
    let round = node.round();
    let [Did::RestoredConfiguration(_, undone)] = &round.did[..] else { panic!("{round:?}") };
    assert_eq!(undone.rival, Rival::Cilium);
    assert!(!copy.exists(), "the copy would be taken for the next time");
    fs::rename(node.conf(NAME), &copy).unwrap();
    let round = node.round();
    assert!(round.did.is_empty() && round.missing[0].contains("`cni.exclusive=false`"), "{round:?}");
    // Somebody else, later.
    node.now += Duration::from_secs(2);
    node.round();
    node.now += Duration::from_secs(4);
    fs::remove_file(node.conf(NAME)).unwrap();
    let round = node.round();
    let [Did::RestoredConfiguration(_, undone)] = &round.did[..] else { panic!("{round:?}") };
    assert_eq!(undone.rival, Rival::Unknown);
}

#[test]
fn a_rival_is_met_with_a_rhythm_that_slows_down() {
    let mut node = Node::serving();
    let mut restored = Vec::new();
    for second in 0..130 {
        node.now += Duration::from_secs(1);
        let _ = fs::remove_file(node.conf(NAME));
        let round = node.round();
        if round.did.is_empty() {
            assert!(round.again.is_some() && round.missing[0].contains("keeps undoing"), "{round:?}");
        } else {
            restored.push(second);
        }
    }
    assert_eq!(restored, [0, 1, 3, 7, 15, 31, 61, 91, 121]);
}

// Proves: P-UP-2
#[test]
fn once_written_the_configuration_stays_and_is_restored_whatever_is_missing() {
    let mut node = Node::serving();
    let text = node.text();
    fs::remove_file(node.conf("10-calico.conflist")).unwrap();
    node.told = Told::default();
    let round = node.round();
    assert_eq!((round.missing.len(), node.text()), (3, text.clone()));
    fs::remove_file(node.conf(NAME)).unwrap();
    // Another life of the node agent, that the API server has told nothing yet.
    let config = node.keeper.config.clone();
    node.keeper = Keeper::new(config).unwrap();
    node.round();
    assert_eq!(node.text(), text);
}

// Proves: P-UP-5
#[test]
fn a_definition_that_no_pod_could_start_with_does_not_replace_one_that_works() {
    let mut node = Node::serving();
    let state = node.keeper.config.host.state();
    let before = fs::read(state.join(MIRROR)).unwrap();
    for config in ["{", "[]", r#"{"cniVersion":"1.0.0","type":"manifold"}"#, r#"{"type":"not-here"}"#] {
        node.told.nad = Some(nad(Some(config)));
        let round = node.round();
        assert!(round.missing[0].contains("stays as it was"), "{round:?}");
        assert_eq!(fs::read(state.join(MIRROR)).unwrap(), before);
    }
    node.told.nad = Some(nad(Some(r#"{"cniVersion":"1.0.0","type":"bridge"}"#)));
    assert!(node.round().did.contains(&Did::Mirrored));
}

#[test]
fn a_definition_on_its_way_out_is_not_mirrored() {
    let mut node = Node::serving();
    let mut going = nad(None);
    going.terminating_since = Some("2026-01-01T00:00:00Z".into());
    node.told.nad = Some(going);
    assert_eq!(node.round(), Round::default());
}

// Proves: S-3
#[test]
fn the_configuration_and_all_state_are_for_root_alone() {
    let node = Node::serving();
    let host = &node.keeper.config.host;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.state()), 0o700);
    for path in [host.conf().join(NAME), host.state().join(MIRROR), host.state().join(".installed")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn the_built_in_network_does_not_wait_for_its_definition() {
    let mut node = Node::new();
    node.keeper.config.default_network.source = DefaultSource::BuiltIn;
    node.told = Told { credentials: true, runtime: Some(None), ..Told::default() };
    assert_eq!(node.round().missing, ["the node has no pod CIDR yet"]);
    let text = r#"{"cniVersion":"1.0.0","name":"manifold-built-in","type":"bridge"}"#;
    node.told.built_in = Some(text.into());
    assert_eq!(node.round().missing, Vec::<String>::new());
    let mut made = nad(None);
    made.uid = Some("u".into());
    made.annotations.insert("manifold.network/configuration".into(), "manifold-built-in".into());
    node.told.nad = Some(made);
    assert_eq!(node.round().did, [Did::Mirrored]);
    let mirror = read_mirror(&node.keeper.config.host.state()).unwrap();
    assert_eq!((mirror.config.as_deref(), mirror.uid.as_deref()), (Some(text), Some("u")));
    // Another life, while the API server is away, has neither.
    node.told.built_in = None;
    node.told.nad = None;
    assert_eq!(node.round(), Round::default());
}

// The controller makes the definition, and may itself wait for a network: that of a Multus which is not there any more.
#[test]
fn a_network_of_the_nodes_does_not_wait_for_its_definition() {
    for configuration in [None, Some("k8s-pod-network".to_owned())] {
        let mut node = Node::new();
        node.told = Told { credentials: true, runtime: Some(None), ..Told::default() };
        node.keeper.config.default_network.configuration.clone_from(&configuration);
        let missing = node.round().missing;
        assert!(missing.concat().contains("there is no network configuration in the folder"), "{missing:?}");
        node.put("10-calico.conflist", CALICO);
        let calico = node.keeper.config.host.bin().join("calico");
        fs::write(&calico, "x").unwrap();
        fs::set_permissions(&calico, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(node.round().missing, Vec::<String>::new(), "{configuration:?}");
        assert_eq!(node.configurations(), [NAME, "10-calico.conflist"]);
        let mut made = nad(None);
        made.uid = Some("u".into());
        node.told.nad = Some(made);
        assert_eq!(node.round().did, [Did::Mirrored], "the definition counts once it is there");
        node.told.nad = None;
        assert_eq!(node.round(), Round::default(), "and stays when the API server is away");
    }
}

#[test]
fn an_executable_that_is_changed_is_restored() {
    let mut node = Node::serving();
    let path = node.keeper.config.host.bin().join("manifold");
    fs::write(&path, "older").unwrap();
    assert_eq!(node.round().did, [Did::RestoredExecutable("manifold".into())]);
    assert_eq!(fs::read(&path).unwrap(), b"executable");
}
