//! A server that speaks pod-resources as a kubelet does, and others that do not.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use manifold_e2e::grpc::Reply;
use manifold_e2e::pod_resources::{
    PodResources, PodResourcesServer, Question, busy, of_all, of_one, unimplemented, unknown,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::messages;
use super::*;

const NIC: &str = "v.example/nic";

struct Bed {
    folder: TempDir,
    patience: Duration,
}

impl Bed {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), patience: Duration::from_secs(20) }
    }

    /// For answers that never come.
    fn impatient() -> Self {
        Self { patience: Duration::from_millis(600), ..Self::new() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("kubelet.sock")
    }

    fn serve(&self, answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> PodResourcesServer {
        PodResourcesServer::start(&self.socket(), answer).unwrap()
    }

    /// The devices of pod `shop/cart`, as `resource id`.
    fn ask(&self, resources: &[&str]) -> Result<Vec<String>, KubeletError> {
        let pod = PodRef::new("shop", "cart", None).unwrap();
        let resources: BTreeSet<ResourceName> = resources.iter().map(|r| r.parse().unwrap()).collect();
        let given = devices(&self.socket(), &pod, &resources, Instant::now() + self.patience)?;
        let of = |r: &ResourceName| given.of(r).map(|(id, _)| format!("{r} {id}")).collect::<Vec<_>>();
        Ok(resources.iter().flat_map(of).collect())
    }

    /// In time, with code 11, and with a sentence that has these words.
    #[track_caller]
    fn fails(&self, words: &[&str]) {
        let began = Instant::now();
        let error = self.ask(&[NIC]).unwrap_err();
        assert!(began.elapsed() < self.patience + Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(error.code(), 11, "{error}");
        let told = error.to_string();
        for word in words {
            assert!(told.contains(word), "`{word}` is missing in: {told}");
        }
        assert!(told.len() < 500 && !told.contains(char::is_control), "{told:?}");
    }
}

fn cart() -> PodResources {
    PodResources::new("shop", "cart").with_devices(NIC, &["nic-1", "nic-0"])
}

// Proves: NPWG-DI-4.1-2, MLT-DLG-10
#[test]
fn the_devices_of_all_containers_are_the_pods_and_those_of_other_resources_nobodys() {
    let bed = Bed::new();
    let mut pod = cart().with_devices("v.example/other", &["bad id", "x"]);
    let second = cart().containers.remove(0);
    pod.containers.push(second);
    pod.containers.push(PodResources::new("a", "b").with_devices(NIC, &["nic-2"]).containers.remove(0));
    let server = PodResourcesServer::with_pods(&bed.socket(), vec![pod]).unwrap();
    assert_eq!(
        bed.ask(&[NIC]).unwrap(),
        ["v.example/nic nic-0", "v.example/nic nic-1", "v.example/nic nic-2"]
    );
    assert_eq!(bed.ask(&["v.example/nothing"]).unwrap(), Vec::<String>::new());
    let get = Question::Get { namespace: "shop".into(), name: "cart".into() };
    assert_eq!(server.asked(), [get.clone(), get], "one question each");
}

// Proves: MLT-DLG-10
#[test]
fn a_kubelet_without_get_is_asked_for_the_list() {
    let other = || PodResources::new("other", "cart").with_devices(NIC, &["theirs"]);
    for refusal in [unimplemented(), unknown("shop", "cart"), Reply::Message(Vec::new())] {
        let bed = Bed::new();
        let _server = bed.serve(move |question| match question {
            Question::List => of_all(vec![other(), cart()]),
            _ => refusal.clone(),
        });
        assert_eq!(bed.ask(&[NIC]).unwrap(), ["v.example/nic nic-0", "v.example/nic nic-1"]);
    }
}

// Proves: S-17
#[test]
fn a_pod_that_the_kubelet_does_not_know_or_knows_twice_has_no_devices() {
    let bed = Bed::new();
    let server =
        PodResourcesServer::with_pods(&bed.socket(), vec![PodResources::new("shop", "cart-2")]).unwrap();
    bed.fails(&["does not know pod `shop/cart`"]);
    drop(server);
    let _server = bed.serve(|question| match question {
        Question::List => of_all(vec![cart(), cart()]),
        _ => unimplemented(),
    });
    bed.fails(&["two pods named `shop/cart`"]);
    let bed = Bed::new();
    let _server = bed.serve(|_| of_one(PodResources::new("shop", "another").with_devices(NIC, &["theirs"])));
    bed.fails(&["about another pod"]);
}

#[test]
fn a_busy_kubelet_is_asked_again_until_the_time_is_up() {
    let bed = Bed::new();
    let calls = AtomicU32::new(0);
    let server = bed.serve(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0..3 => busy(),
        _ => of_one(cart()),
    });
    assert_eq!(bed.ask(&[NIC]).unwrap().len(), 2);
    assert_eq!(server.asked().len(), 4);
    // Long enough for an answer on a busy machine.
    let bed = Bed { patience: Duration::from_secs(3), ..Bed::new() };
    let _server = bed.serve(|_| busy());
    bed.fails(&["rate limited", "rejected by rate limit"]);
}

#[test]
fn a_kubelet_that_is_not_there_or_never_answers_is_told_in_time() {
    let bed = Bed::impatient();
    bed.fails(&["cannot be reached", "podResourcesSocket", "kubelet.sock"]);
    let closed = UnixListener::bind(bed.socket()).unwrap();
    drop(closed);
    bed.fails(&["cannot be reached"]);
    let bed = Bed::impatient();
    // The kernel takes the connection, and nobody ever reads from it.
    let _deaf = UnixListener::bind(bed.socket()).unwrap();
    bed.fails(&["did not report", "within 0.", "shop/cart"]);
    let bed = Bed::impatient();
    let _server = bed.serve(|_| Reply::Silence);
    bed.fails(&["did not report"]);
    let bed = Bed::impatient();
    let _server = bed.serve(|_| Reply::Stream(Vec::new()));
    bed.fails(&["did not report"]);
}

/// Says `bytes` to whoever connects, and hangs up.
fn say(bed: &Bed, bytes: &'static [u8]) {
    let listener = UnixListener::bind(bed.socket()).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut chunk = [0; 24];
            let _ = stream.read(&mut chunk).and_then(|_| stream.write_all(bytes));
        }
    });
}

#[test]
fn who_does_not_speak_as_a_kubelet_is_told_so() {
    for bytes in
        [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\xff\xff\xff\xff\xff\xff", b"hello\n"]
    {
        let bed = Bed::new();
        say(&bed, bytes);
        bed.fails(&["does not answer like a kubelet", "podResourcesSocket"]);
    }
}

#[test]
fn an_answer_that_is_none_is_told() {
    let hostile: [Reply; 6] = [
        Reply::Raw(b"x".to_vec()),
        Reply::Raw(b"\0\xff\xff\xff\xff0123".to_vec()),
        Reply::Raw(b"\x01\0\0\0\x01x".to_vec()),
        Reply::Message(b"\x0a\xff\xff\xff\xff\x7f".to_vec()),
        Reply::Refused { code: 13, message: format!("broken {}", "x".repeat(5000)) },
        Reply::Refused { code: 7, message: String::new() },
    ];
    for reply in hostile {
        let bed = Bed::new();
        let _server = bed.serve(move |_| reply.clone());
        bed.fails(&["kubelet"]);
    }
    let bed = Bed::new();
    let _server = bed.serve(|_| Reply::Message(vec![0x12; 17 << 20]));
    bed.fails(&["kubelet"]);
}

// Proves: S-17
#[test]
fn an_id_that_could_leave_a_folder_is_refused() {
    let bed = Bed::new();
    let pod = PodResources::new("shop", "cart").with_devices(NIC, &["../../etc/passwd"]);
    let _server = PodResourcesServer::with_pods(&bed.socket(), vec![pod]).unwrap();
    let error = bed.ask(&[NIC]).unwrap_err();
    assert_eq!(error.code(), 7);
    assert!(error.to_string().contains("`../../etc/passwd`") && error.to_string().contains(NIC), "{error}");
}

// Proves: MLT-DLG-10
#[test]
fn devices_of_claims_go_by_claim_driver_and_cdi_kind() {
    let bed = Bed::new();
    let pod = PodResources::new("shop", "cart")
        .with_claim("my-claim", "driver.example", "0000-03-02-1", &["driver.example/vf=abc"])
        // The kubelet lists the CDI devices of those before it too.
        .with_claim("other", "driver.example", "nic-7", &["driver.example/vf=abc", "driver.example/sf=nic-7"])
        .with_claim("third", "bare.example", "pci-0000-03-02-2", &[])
        .with_claim("fourth", "bare.example", "odd", &["bare.example/vf=0000:03:02.3"]);
    let _server = PodResourcesServer::with_pods(&bed.socket(), vec![pod]).unwrap();
    let asks = |resource: &str| bed.ask(&[resource]).unwrap();
    assert_eq!(asks("my-claim"), ["my-claim 0000:03:02.1"]);
    assert_eq!(asks("driver.example/vf"), ["driver.example/vf 0000:03:02.1"]);
    assert_eq!(asks("driver.example/sf"), ["driver.example/sf nic-7"]);
    assert_eq!(asks("driver.example"), ["driver.example 0000:03:02.1", "driver.example nic-7"]);
    assert_eq!(asks("bare.example"), ["bare.example 0000:03:02.2", "bare.example 0000:03:02.3"]);
}

proptest! {
    // Proves: S-8
    #[test]
    fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        use prost::Message as _;
        if let Ok(found) = messages::PodResources::decode(bytes.as_slice()) {
            let _ = devices::allocation(&found, &BTreeSet::from([NIC.parse().unwrap()]));
        }
    }

    #[test]
    fn no_names_make_the_reading_panic(
        resource in ".{0,20}", id in ".{0,20}", claim in ".{0,20}", driver in ".{0,20}", device in ".{0,20}", cdi in ".{0,20}",
    ) {
        let found = messages::PodResources {
            containers: vec![messages::ContainerResources {
                devices: vec![messages::ContainerDevices { resource_name: resource.clone(), device_ids: vec![id] }],
                dynamic_resources: vec![messages::DynamicResource {
                    claim_name: claim.clone(),
                    claim_resources: vec![messages::ClaimResource {
                        cdi_devices: vec![messages::CdiDevice { name: cdi }],
                        driver_name: driver.clone(),
                        device_name: device,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let wanted = [resource, claim, driver].iter().filter_map(|name| name.parse().ok()).collect();
        let _ = devices::allocation(&found, &wanted);
    }
}
