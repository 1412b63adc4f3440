//! The auxiliary chain: plugins that the node's administrator puts beside the default network's file, for every pod.
//!
//! Multus runs them on an interface that nobody makes. Here they go on with the default network's own interface and
//! result, as chained plugins do (MLT-EXE-9).

use manifold_cni::{NetworkList, PluginConf, RawObject};

use crate::policy::{DefaultNetwork, NetworkValue};
use crate::{Definitions, Policy, Refusal};

/// Appends the plugins of `<folder of the clusterNetwork file>/<auxiliaryCNIChainName>/*.conf`, by file name. A folder
/// that is empty or missing adds nothing.
pub(crate) fn extend(list: &mut NetworkList, policy: &Policy, found: &Definitions) -> Result<(), Refusal> {
    let Some(chain) = &policy.auxiliary_chain else { return Ok(()) };
    let DefaultNetwork::Cluster(NetworkValue::Path(path)) = &policy.default else {
        return Err(Refusal::new(
            format!("`auxiliaryCNIChainName` is `{chain}`, and `clusterNetwork` is not a path"),
            "give `clusterNetwork` as the path of a file, or remove `auxiliaryCNIChainName`",
        ));
    };
    let mut files = found.paths.get(path).map(|files| files.folder_of(chain.as_str())).unwrap_or_default();
    files.sort();
    for (name, bytes) in files {
        let bad = |why: String| {
            Refusal::new(
                format!(
                    "file `{name}` of the auxiliary chain `{chain}` is not a plugin's configuration: {why}"
                ),
                "correct or remove that file",
            )
        };
        let raw = RawObject::parse(&bytes).map_err(|e| bad(e.to_string()))?;
        list.plugins.push(PluginConf::read(raw, "").map_err(|e| bad(e.to_string()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Files;

    fn policy(cluster: &str) -> Policy {
        let mut policy = Policy::new(DefaultNetwork::Cluster(cluster.parse().unwrap()));
        policy.auxiliary_chain = Some("aux".parse().unwrap());
        policy
    }

    fn found(files: &[(&str, &str)]) -> Definitions {
        let mut folder = Files::default();
        let files = files.iter().map(|(n, b)| ((*n).to_owned(), b.as_bytes().to_vec())).collect();
        folder.beside.insert("aux".to_owned(), files);
        Definitions { paths: [("/etc/cni/10.conflist".into(), folder)].into(), ..Definitions::default() }
    }

    fn list() -> NetworkList {
        NetworkList::parse(br#"{"name":"a","plugins":[{"type":"bridge"}]}"#).unwrap()
    }

    // Proves: MLT-EXE-9, MLT-CFG-10
    #[test]
    fn the_auxiliary_plugins_follow_the_default_networks_own_by_file_name() {
        let mut list = list();
        let files = [("20.conf", r#"{"type":"sbr"}"#), ("10.conf", r#"{"type":"tuning"}"#)];
        extend(&mut list, &policy("/etc/cni/10.conflist"), &found(&files)).unwrap();
        let kinds: Vec<&str> = list.plugins.iter().map(|p| p.kind.as_str()).collect();
        assert_eq!(kinds, ["bridge", "tuning", "sbr"]);
    }

    #[test]
    fn an_empty_folder_adds_nothing() {
        let mut list = list();
        extend(&mut list, &policy("/etc/cni/10.conflist"), &found(&[])).unwrap();
        assert_eq!(list.plugins.len(), 1);
    }

    #[test]
    fn a_chain_without_a_path_to_lie_beside_is_refused() {
        let refusal = extend(&mut list(), &policy("some-name"), &Definitions::default()).unwrap_err();
        assert!(refusal.to_string().contains("`auxiliaryCNIChainName` is `aux`"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_no_plugin_is_refused_by_name() {
        let refusal =
            extend(&mut list(), &policy("/etc/cni/10.conflist"), &found(&[("1.conf", "{}")])).unwrap_err();
        assert!(refusal.to_string().contains("file `1.conf` of the auxiliary chain `aux`"), "{refusal}");
    }
}
