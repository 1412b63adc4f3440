//! Interface names, all settled together before anything is attached (F-INP-3, P-COR-8).
//!
//! The default network gets the name the runtime gave, every other attachment `net<i>`, i being its place in the whole
//! list, so that a name chosen by hand still uses up its number (MLT-EXE-2). Where somebody asked for `net2` by hand,
//! the attachment that would have been `net2` takes the first number beyond the list: no other name moves for it.

use manifold_cni::IfName;

use crate::{Refusal, Role, Want};

/// The name of each attachment, in order.
///
/// # Errors
/// If two attachments ask for the same name.
pub fn settle(runtime: &IfName, wants: &[Want]) -> Result<Vec<IfName>, Refusal> {
    let mut names: Vec<Option<IfName>> = Vec::with_capacity(wants.len());
    for want in wants {
        let asked = want.selection.as_ref().and_then(|s| s.interface.clone());
        let name = asked.or_else(|| (want.role == Role::Default).then(|| runtime.clone()));
        if let Some(name) = &name {
            free(name, want, &names, wants)?;
        }
        names.push(name);
    }
    number(&mut names);
    Ok(names.into_iter().flatten().collect())
}

/// Fills the gaps with `net<i>`.
fn number(names: &mut [Option<IfName>]) {
    for index in 0..names.len() {
        let own = generated(index);
        let taken = names.contains(&Some(own.clone()));
        if let Some(gap) = names.get_mut(index).filter(|n| n.is_none() && !taken) {
            *gap = Some(own);
        }
    }
    let mut next = names.len();
    for index in 0..names.len() {
        while names.contains(&Some(generated(next))) {
            next += 1;
        }
        if let Some(gap) = names.get_mut(index).filter(|n| n.is_none()) {
            *gap = Some(generated(next));
        }
    }
}

fn generated(number: usize) -> IfName {
    format!("net{number}").parse().expect("`net` and at most eleven digits is an interface name")
}

fn free(name: &IfName, want: &Want, names: &[Option<IfName>], wants: &[Want]) -> Result<(), Refusal> {
    let refuse = |why: String| {
        Err(Refusal::new(
            format!("network `{}` asks for interface `{}`, {why}", want.source, printable(name)),
            "choose another interface name in the pod's annotation",
        ))
    };
    match name.as_str() {
        "lo" => return refuse("which every pod has already".to_owned()),
        // `net.ipv6.conf.all` is every interface of the pod, and `…default` every later one.
        "all" | "default" => {
            return refuse("which the kernel uses for the settings of all interfaces".to_owned());
        }
        _ => {}
    }
    let other = names.iter().zip(wants).find(|(n, _)| n.as_ref() == Some(name)).map(|(_, w)| w);
    other.map_or(Ok(()), |other| refuse(format!("which network `{}` has already", other.source)))
}

fn printable(name: &IfName) -> String {
    manifold_cni::name::printable(name.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::wanted;

    /// The names for this networks annotation, the default network's first.
    #[track_caller]
    fn check(annotation: &str, expected: &[&str]) {
        let names = settle(&"eth0".parse().unwrap(), &wanted(annotation).attachments).unwrap();
        assert_eq!(names.iter().map(IfName::as_str).collect::<Vec<_>>(), expected, "{annotation}");
    }

    #[track_caller]
    fn refused(annotation: &str, word: &str) {
        let error = settle(&"eth0".parse().unwrap(), &wanted(annotation).attachments).unwrap_err();
        assert!(error.what.contains(word), "{annotation}: {error}");
        assert_eq!(error.code, 7);
    }

    // Proves: MLT-EXE-2, NPWG-4.2-1, NPWG-4.2.1-2
    #[test]
    fn generated_names_count_every_attachment() {
        check("", &["eth0"]);
        check("a,b@foo,c", &["eth0", "net1", "foo", "net3"]);
        check("a,a", &["eth0", "net1", "net2"]);
    }

    // Proves: MLT-EXE-4, NPWG-4.2.1-2, F-INP-3, P-COR-8
    #[test]
    fn a_name_asked_for_is_never_generated_too() {
        check("a@net2,b", &["eth0", "net2", "net3"]);
        check("a@net2,b,c", &["eth0", "net2", "net4", "net3"]);
        check("a,b@net1", &["eth0", "net3", "net1"]);
        check("a@net3,b@net4,c,d", &["eth0", "net3", "net4", "net5", "net6"]);
    }

    // Proves: NPWG-4.1.2.1.5-3, F-INP-3, P-COR-8
    #[test]
    fn the_default_interface_is_taken() {
        refused("a@eth0", "which network `cluster-wide-network` has already");
        refused("a@lo", "every pod has");
    }

    // Shows part of: F-INP-3
    #[test]
    fn a_name_that_stands_for_all_interfaces_is_none() {
        refused("a@all", "the settings of all interfaces");
        refused(r#"[{"name":"a","interface":"default"}]"#, "the settings of all interfaces");
        check("a@all0", &["eth0", "all0"]);
    }

    proptest! {
        // Proves: NPWG-4.2.1-2
        #[test]
        fn names_never_clash(asked in proptest::collection::vec(proptest::option::of(0usize..12), 0..10)) {
            let mut seen = std::collections::HashSet::new();
            let items: Vec<String> = asked.iter().map(|n| match n.filter(|n| seen.insert(*n)) {
                Some(n) => format!("a@net{n}"),
                None => "a".to_owned(),
            }).collect();
            let names = settle(&"eth0".parse().unwrap(), &wanted(&items.join(",")).attachments).unwrap();
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());
            prop_assert_eq!(names.len(), items.len() + 1);
        }
    }
}
