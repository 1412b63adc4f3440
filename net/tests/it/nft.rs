use std::borrow::Cow;
use std::process::Command;
use std::time::{Duration, Instant};

use manifold_net::nft::schema::{Chain, NfListObject, Rule, Table};
use manifold_net::nft::stmt::Statement;
use manifold_net::nft::types::NfFamily;
use manifold_net::nft::{Batch, Nft, NftError};

use crate::bed::empty;

const FAMILY: NfFamily = NfFamily::INet;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn table() -> NfListObject<'static> {
    NfListObject::Table(Table { family: FAMILY, name: "ours".into(), handle: None })
}

fn chain(name: &'static str) -> NfListObject<'static> {
    NfListObject::Chain(Chain { family: FAMILY, table: "ours".into(), name: name.into(), ..Chain::default() })
}

fn rule(chain: &'static str) -> NfListObject<'static> {
    rule_about(chain, "shop/cart-7")
}

fn rule_about(chain: &'static str, comment: &'static str) -> NfListObject<'static> {
    NfListObject::Rule(Rule {
        family: FAMILY,
        table: "ours".into(),
        chain: chain.into(),
        expr: Cow::Owned(vec![Statement::Drop(None)]),
        comment: Some(comment.into()),
        ..Rule::default()
    })
}

#[test]
fn a_batch_is_applied_and_listed_in_the_namespace_of_the_thread() {
    let (net, other) = (empty(), empty());
    let nft = Nft::find().unwrap();
    let mut batch = Batch::new();
    batch.add(table());
    batch.add(chain("one"));
    batch.add(rule("one"));
    net.netns().run(|| nft.apply("add our rules", batch)).unwrap().unwrap();
    let listed = net.netns().run(|| nft.list_table(FAMILY, "ours")).unwrap().unwrap().unwrap();
    let comments: Vec<_> = listed
        .iter()
        .filter_map(
            |object| if let NfListObject::Rule(rule) = object { rule.comment.as_deref() } else { None },
        )
        .collect();
    assert_eq!((listed.len(), comments), (3, vec!["shop/cart-7"]));
    // Handles come with the list, so that single rules can be removed.
    assert!(listed.iter().all(|object| match object {
        NfListObject::Rule(rule) => rule.handle.is_some(),
        _ => true,
    }));
    assert!(other.netns().run(|| nft.list_table(FAMILY, "ours")).unwrap().unwrap().is_none());
}

// Proves: S-9
#[test]
fn text_from_users_stays_text() {
    const TEXT: &str = "$(touch /x) `id`; flush ruleset # é";
    let net = empty();
    let nft = Nft::find().unwrap();
    let mut batch = Batch::new();
    batch.add(table());
    batch.add(chain("one"));
    batch.add(rule_about("one", TEXT));
    let listed = net.netns().run(|| {
        nft.apply("add our rules", batch).unwrap();
        nft.list_table(FAMILY, "ours").unwrap().unwrap()
    });
    let listed = listed.unwrap();
    assert!(listed.iter().any(|object| match object {
        NfListObject::Rule(rule) => rule.comment.as_deref() == Some(TEXT),
        _ => false,
    }));
}

#[test]
fn a_batch_with_one_bad_part_does_nothing_at_all() {
    let net = empty();
    let nft = Nft::find().unwrap();
    let mut batch = Batch::new();
    batch.add(table());
    batch.add(rule("absent"));
    let error = net.netns().run(|| nft.apply("add a rule to `absent`", batch)).unwrap().unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().starts_with("`nft` refused to add a rule to `absent`: "), "{error}");
    assert!(net.netns().run(|| nft.list_table(FAMILY, "ours")).unwrap().unwrap().is_none());
}

#[test]
fn removing_a_table_twice_succeeds() {
    let net = empty();
    let nft = Nft::find().unwrap();
    net.netns()
        .run(|| {
            let mut batch = Batch::new();
            batch.add(table());
            batch.add(chain("one"));
            nft.apply("add our table", batch).unwrap();
            nft.delete_table(FAMILY, "ours").unwrap();
            assert!(nft.list_table(FAMILY, "ours").unwrap().is_none());
            nft.delete_table(FAMILY, "ours").unwrap();
        })
        .unwrap();
}

#[test]
fn a_missing_tool_is_named_with_the_places_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let error = Nft::find_in(&[folder.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("not installed") && error.contains("install the package"), "{error}");
    let gone = Nft::at(folder.path().join("nft")).delete_table(FAMILY, "ours").unwrap_err();
    assert!(matches!(gone, NftError::NotInstalled { .. }), "{gone}");
}

/// Written by a process of its own: a child that another test starts at that moment would inherit an open file, and the
/// kernel runs none that is open for writing.
fn script(folder: &std::path::Path, body: &str) -> Nft {
    let path = folder.join("nft");
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
    let written = Command::new("/bin/sh").args(["-c", write, "sh"]).arg(&path).arg(body).status().unwrap();
    assert!(written.success());
    Nft::at(path).with_deadline(PATIENCE)
}

#[test]
fn a_tool_that_hangs_is_stopped_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let nft = script(folder.path(), "exec sleep 1000").with_deadline(Duration::from_millis(300));
    let in_time = || {
        let started = Instant::now();
        let error = nft.delete_table(FAMILY, "ours").unwrap_err();
        assert!(matches!(error, NftError::Timeout { .. }), "{error}");
        started.elapsed() < Duration::from_secs(5)
    };
    assert!((0..10).any(|_| in_time()), "a busy machine delays one end, and not ten");
}

#[test]
fn odd_output_is_an_error_and_no_reason_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let nft = script(folder.path(), "echo nonsense");
    assert!(matches!(nft.list_table(FAMILY, "ours").unwrap_err(), NftError::Output(_)));
    let nft = script(folder.path(), "exit 3");
    let error = nft.delete_table(FAMILY, "ours").unwrap_err().to_string();
    assert!(error.contains("gave no reason"), "{error}");
}

#[test]
fn the_kernel_tells_chain_handle_and_comment_of_every_rule_as_the_tool_does() {
    const TEXT: &str = "$(touch /x) `id`; é";
    let (net, other) = (empty(), empty());
    let tool = Nft::find().unwrap();
    // Not there: what it answers, it has from the kernel.
    let none = Nft::at("/nonexistent/nft");
    let mut batch = Batch::new();
    batch.add(table());
    for name in ["one", "two"] {
        batch.add(chain(name));
        batch.add(rule_about(name, TEXT));
    }
    net.netns()
        .run(|| {
            tool.apply("add our rules", batch).unwrap();
            // More than one answer of the kernel holds, a rule without a comment, and tables of the same name and of another.
            let many: String = (0..2000).map(|n| format!("add rule inet ours two meta mark {n} accept\n")).collect();
            let others = "add table ip ours\nadd chain ip ours three\nadd rule ip ours three drop comment \"not this one\"\n\
                          add table inet theirs\nadd chain inet theirs one\nadd rule inet theirs one drop\n";
            tool.apply_script("add many rules", &(many + others)).unwrap();
            let rules = none.list_rules(FAMILY, "ours").unwrap();
            let listed = tool.list_table(FAMILY, "ours").unwrap().unwrap().into_iter();
            let by_tool: Vec<(String, u32, String)> = listed
                .filter_map(|object| match object {
                    NfListObject::Rule(rule) => {
                        let comment = rule.comment.unwrap_or_default().into_owned();
                        Some((rule.chain.into_owned(), rule.handle.unwrap(), comment))
                    }
                    _ => None,
                })
                .collect();
            let by_kernel: Vec<_> = rules.into_iter().map(|r| (r.chain, r.handle, r.comment)).collect();
            assert_eq!(by_kernel.len(), 2002);
            assert_eq!(by_kernel, by_tool);
            assert_eq!(none.list_rules(FAMILY, "absent").unwrap(), []);
        })
        .unwrap();
    assert_eq!(other.netns().run(|| none.list_rules(FAMILY, "ours")).unwrap().unwrap(), []);
}

#[test]
fn a_listing_is_whole_while_others_change_the_rules() {
    let net = empty();
    let tool = Nft::find().unwrap();
    net.netns()
        .run(|| {
            let kept: String = (0..500)
                .map(|n| format!("add rule inet ours one meta mark {n} accept comment \"kept\"\n"))
                .collect();
            let script =
                format!("add table inet ours\nadd chain inet ours one\nadd chain inet ours two\n{kept}");
            tool.apply_script("add rules", &script).unwrap();
        })
        .unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            net.netns()
                .run(|| {
                    for _ in 0..30 {
                        tool.apply_script(
                            "change rules",
                            "flush chain inet ours two\nadd rule inet ours two drop\n",
                        )
                        .unwrap();
                    }
                })
                .unwrap();
        });
        net.netns()
            .run(|| {
                while !writer.is_finished() {
                    let rules = tool.list_rules(FAMILY, "ours").unwrap();
                    assert_eq!(rules.iter().filter(|rule| rule.comment == "kept").count(), 500);
                }
            })
            .unwrap();
    });
}
