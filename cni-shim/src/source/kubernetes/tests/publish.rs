use super::*;

fn publish(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Result<Published, SourceError>, Vec<Seen>) {
    let server = Server::start(Wire::Http2, move |_, _| reply());
    let done = Node::of(&server).source().publish(&who(), r#"[{"name":"a"}]"#, soon(15_000));
    (done, server.seen())
}

// Proves: P-COR-5
#[test]
fn the_status_is_one_patch_of_one_annotation_with_the_uid() {
    let (done, seen) = publish(|| Reply::Json(200, pod_json()));
    assert_eq!(done.unwrap(), Published::Done);
    assert_eq!(seen.len(), 1);
    let patch = &seen[0];
    assert_eq!(patch.method, "PATCH");
    assert_eq!(patch.target, "/api/v1/namespaces/shop/pods/cart-7/status?fieldManager=manifold-shim");
    assert_eq!(patch.content_type, "application/merge-patch+json");
    let wanted = serde_json::json!({"metadata": {
        "uid": "aaa", "annotations": {"k8s.v1.cni.cncf.io/network-status": r#"[{"name":"a"}]"#}}});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&patch.body).unwrap(), wanted);
}

// Proves: F-API-11, P-COR-2
#[test]
fn a_pod_that_was_replaced_or_is_gone_supersedes_its_status() {
    let details =
        || serde_json::json!({"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]});
    let (done, seen) = publish(move || Reply::Json(422, status_json(422, "invalid", details())));
    assert!(matches!(done.unwrap(), Published::Superseded(why) if why.contains("replaced")));
    assert_eq!(seen.len(), 1);
    let (done, _) =
        publish(|| Reply::Json(404, status_json(404, "gone", serde_json::json!({"name": "cart-7"}))));
    assert!(matches!(done.unwrap(), Published::Superseded(why) if why.contains("gone")));
    let text =
        "Operation cannot be fulfilled: Precondition failed: UID in precondition: aaa, UID in object meta: b";
    let (done, _) = publish(move || Reply::Json(409, status_json(409, text, serde_json::json!({}))));
    assert!(matches!(done.unwrap(), Published::Superseded(_)));
}

// Proves: F-API-10
#[test]
fn a_status_that_cannot_be_written_is_an_error_with_the_reason() {
    let invalid =
        || serde_json::json!({"causes": [{"field": "metadata.annotations", "message": "too long"}]});
    let (done, _) = publish(move || Reply::Json(422, status_json(422, "refused by a webhook", invalid())));
    let error = done.unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.what.contains("refused by a webhook"), "{error}");
    let (done, _) = publish(|| Reply::Json(403, status_json(403, "no", serde_json::json!({}))));
    let error = done.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.what.contains("`patch`") && error.what.contains("`pods/status`"), "{error}");
}

// Proves: MLT-STS-1
#[test]
fn a_conflict_or_a_busy_server_is_tried_again() {
    for code in [409, 500, 503] {
        let server = Server::start(Wire::Http2, move |_, before| match before {
            0 => Reply::Json(code, status_json(code, "again", serde_json::json!({}))),
            _ => Reply::Json(200, pod_json()),
        });
        assert_eq!(Node::of(&server).source().publish(&who(), "[]", soon(15_000)).unwrap(), Published::Done);
        assert_eq!(server.seen().len(), 2);
    }
}

// Proves: F-API-10
#[test]
fn publishing_ends_after_two_seconds_whatever_the_callers_deadline() {
    let server = Server::start(Wire::BlackHole, pods);
    let begin = Instant::now();
    let error = Node::of(&server).source().publish(&who(), "[]", soon(60_000)).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_millis(4500), "{took:?}");
}
