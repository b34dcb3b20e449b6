//! SRV records of a real DNS server on loopback as instances.

mod calls;
mod server;

use std::io::ErrorKind;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use kitex::client::{Discover, Instance};
use kitex_dns::SrvInstances;
use server::{DnsServer, Mode};

const NAME: &str = "_chat._tcp.example.internal";

/// Waits until `instances` are the `expected`, as `address weight`.
async fn until(instances: &SrvInstances, expected: &[&str]) {
    let mut seen = Vec::new();
    for _ in 0..2400 {
        seen = current(instances);
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{seen:?} are not {expected:?}");
}

fn current(instances: &SrvInstances) -> Vec<String> {
    match instances.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
        Poll::Ready(set) => set.instances().iter().map(shown).collect(),
        Poll::Pending => vec!["none yet".to_owned()],
    }
}

fn shown(instance: &Instance) -> String {
    assert!(instance.tags.is_empty());
    format!("{} {}", instance.address, instance.weight)
}

/// Waits until the server has received `count` more queries.
async fn until_queries(server: &DnsServer, count: usize) {
    let end = server.queries() + count;
    for _ in 0..2400 {
        if server.queries() >= end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} queries are not {end}", server.queries());
}

/// Priority, weight, port and target of each record, and the instances.
type Row = (Records, &'static [&'static str]);
type Records = &'static [(u16, u16, u16, &'static str)];

#[tokio::test]
async fn srv_instances_have_the_addresses_and_weights_of_the_records() {
    let server = DnsServer::start().await;
    server.set_addresses("one.example.internal", 60, &["10.0.0.1"]);
    server.set_addresses("two.example.internal", 60, &["10.0.0.2"]);
    server.set_addresses("six.example.internal", 60, &["fd00::6"]);
    server.set_addresses("all.example.internal", 60, &["10.0.0.3", "10.0.0.4", "fd00::3"]);
    server.set_addresses("alias.example.internal", 60, &["10.0.0.1"]);
    let rows: [Row; 9] = [
        (
            &[(0, 10, 8888, "one.example.internal"), (0, 30, 9999, "two.example.internal")],
            &["10.0.0.1:8888 10", "10.0.0.2:9999 30"],
        ),
        // Only those of the lowest priority value.
        (
            &[
                (20, 7, 80, "one.example.internal"),
                (10, 5, 80, "two.example.internal"),
                (10, 6, 81, "two.example.internal"),
            ],
            &["10.0.0.2:80 5", "10.0.0.2:81 6"],
        ),
        (
            &[(0, 0, 80, "one.example.internal"), (0, u16::MAX, 80, "two.example.internal")],
            &["10.0.0.1:80 1", "10.0.0.2:80 65535"],
        ),
        (&[(0, 10, 80, "six.example.internal")], &["[fd00::6]:80 10"]),
        (&[(0, 10, 80, "all.example.internal")], &["10.0.0.3:80 10", "10.0.0.4:80 10", "[fd00::3]:80 10"]),
        // Two names of one server.
        (&[(0, 10, 80, "one.example.internal"), (0, 20, 80, "alias.example.internal")], &["10.0.0.1:80 30"]),
        // The root says that there is no service, and port 0 is none.
        (
            &[(0, 1, 80, "."), (0, 1, 0, "one.example.internal"), (1, 4, 80, "two.example.internal")],
            &["10.0.0.2:80 4"],
        ),
        // A target without an address.
        (&[(0, 1, 80, "none.example.internal"), (0, 4, 80, "two.example.internal")], &["10.0.0.2:80 4"]),
        (&[(0, 3, 80, "TWO.Example.INTERNAL")], &["10.0.0.2:80 3"]),
    ];
    for (at, (records, expected)) in rows.into_iter().enumerate() {
        let name = format!("_row{at}._tcp.example.internal");
        server.set_srv(&name, 60, records);
        until(&server.instances(&name), expected).await;
    }
}

#[tokio::test]
async fn srv_instances_are_looked_up_again_when_their_time_to_live_is_over() {
    const DAY: u32 = 86_400;
    // The times to live of records and of addresses, and the longest interval.
    for (records, addresses, interval) in
        [(1, DAY, None), (0, DAY, None), (DAY, 1, None), (DAY, DAY, Some(Duration::ZERO))]
    {
        let server = DnsServer::start().await;
        server.set_addresses("one.example.internal", addresses, &["10.0.0.1"]);
        server.set_addresses("two.example.internal", addresses, &["10.0.0.2"]);
        server.set_srv(NAME, records, &[(0, 1, 80, "one.example.internal")]);
        let instances = server.instances(NAME);
        let instances = match interval {
            Some(interval) => instances.max_interval(interval),
            None => instances,
        };
        until(&instances, &["10.0.0.1:80 1"]).await;
        let both = [(0, 1, 80, "one.example.internal"), (0, 2, 80, "two.example.internal")];
        server.set_srv(NAME, records, &both);
        until(&instances, &["10.0.0.1:80 1", "10.0.0.2:80 2"]).await;
        server.set_srv(NAME, records, &both[1..]);
        until(&instances, &["10.0.0.2:80 2"]).await;
    }
}

/// Starts a server and a source of one instance that is looked up every second.
async fn one_instance() -> (DnsServer, SrvInstances) {
    let server = DnsServer::start().await;
    server.set_addresses("one.example.internal", 1, &["10.0.0.1"]);
    server.set_srv(NAME, 1, &[(0, 1, 80, "one.example.internal")]);
    let instances = server.instances(NAME);
    until(&instances, &["10.0.0.1:80 1"]).await;
    (server, instances)
}

#[tokio::test]
async fn srv_instances_stay_while_lookups_fail() {
    let check = |mode| async move {
        let (server, instances) = one_instance().await;
        server.set_mode(mode);
        // A query that fails is repeated twice.
        until_queries(&server, 4).await;
        assert_eq!(current(&instances), ["10.0.0.1:80 1"], "{mode:?}");
        server.set_srv(NAME, 1, &[(0, 2, 80, "one.example.internal")]);
        server.set_mode(Mode::Answers);
        until(&instances, &["10.0.0.1:80 2"]).await;
    };
    join_all([Mode::Fails, Mode::Silent].map(check)).await;
}

#[tokio::test]
async fn srv_instances_stay_while_lookups_find_none() {
    // No such name, no service, and no address. A lookup has one query, or three.
    let rows: [(Records, usize); 3] =
        [(&[], 1), (&[(0, 1, 80, ".")], 1), (&[(0, 1, 80, "none.example.internal")], 3)];
    let check = |(records, count)| async move {
        let (server, instances) = one_instance().await;
        server.set_srv(NAME, 1, records);
        // Two may belong to the lookup before, and one to the lookup after.
        until_queries(&server, 2 + count + 1).await;
        assert_eq!(current(&instances), ["10.0.0.1:80 1"], "{records:?}");
        server.set_srv(NAME, 1, &[(0, 2, 80, "one.example.internal")]);
        until(&instances, &["10.0.0.1:80 2"]).await;
    };
    join_all(rows.map(check)).await;
}

#[tokio::test]
async fn srv_instances_of_a_target_stay_while_its_addresses_are_not_looked_up() {
    let server = DnsServer::start().await;
    server.set_addresses("one.example.internal", 1, &["10.0.0.1", "fd00::1"]);
    server.set_addresses("two.example.internal", 1, &["10.0.0.2"]);
    server.set_srv(NAME, 1, &[(0, 1, 80, "one.example.internal"), (0, 1, 80, "two.example.internal")]);
    let instances = server.instances(NAME);
    until(&instances, &["10.0.0.1:80 1", "10.0.0.2:80 1", "[fd00::1]:80 1"]).await;
    server.set_failing(Some("one.example.internal"));
    server.set_addresses("one.example.internal", 1, &["10.0.0.5"]);
    server.set_addresses("two.example.internal", 1, &["10.0.0.4"]);
    until(&instances, &["10.0.0.1:80 1", "10.0.0.4:80 1", "[fd00::1]:80 1"]).await;
    server.set_failing(None);
    until(&instances, &["10.0.0.4:80 1", "10.0.0.5:80 1"]).await;
}

#[tokio::test]
async fn srv_instances_of_a_truncated_response_are_read_by_tcp_up_to_a_limit() {
    let server = DnsServer::start().await;
    server.set_addresses("one.example.internal", 1, &["10.0.0.1"]);
    let records =
        |count: u16| (0..count).map(|at| (0, 1, 1 + at, "one.example.internal")).collect::<Vec<_>>();
    let listed = |count: u16| (0..count).map(|at| format!("10.0.0.1:{} 1", 1 + at)).collect::<Vec<_>>();
    server.set_srv(NAME, 1, &records(1024));
    let instances = server.instances(NAME);
    let expected = listed(1024);
    until(&instances, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // More changes nothing.
    server.set_srv(NAME, 1, &records(1025));
    let before = server.queries_by_tcp();
    for _ in 0..2400 {
        // The answer to the first may have been made before the change.
        if server.queries_by_tcp() >= before + 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.queries_by_tcp() >= before + 3);
    assert_eq!(current(&instances), expected);
    server.set_srv(NAME, 1, &records(2));
    until(&instances, &["10.0.0.1:1 1", "10.0.0.1:2 1"]).await;
    // As many addresses are as bad.
    let addresses: Vec<String> = (0..1025).map(|at| format!("10.1.{}.{}", at / 256, at % 256)).collect();
    server.set_addresses(
        "all.example.internal",
        1,
        &addresses.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    server.set_srv(NAME, 1, &[(0, 1, 80, "all.example.internal")]);
    until_queries(&server, 9).await;
    assert_eq!(current(&instances), ["10.0.0.1:1 1", "10.0.0.1:2 1"]);
}

#[tokio::test]
async fn srv_instances_are_looked_up_until_there_is_a_first_set() {
    let server = DnsServer::start().await;
    for (at, mode) in [Mode::Answers, Mode::Fails].into_iter().enumerate() {
        let name = format!("_first{at}._tcp.example.internal");
        server.set_mode(mode);
        let instances = server.instances(&name);
        assert_eq!(current(&instances), ["none yet"]);
        until_queries(&server, 2).await;
        assert_eq!(current(&instances), ["none yet"], "{mode:?}");
        server.set_mode(Mode::Answers);
        server.set_addresses("one.example.internal", 60, &["10.0.0.1"]);
        server.set_srv(&name, 60, &[(0, 1, 80, "one.example.internal")]);
        // As a call waits.
        let set = std::future::poll_fn(|cx| instances.poll_instances(cx, None)).await;
        assert_eq!(set.instances().iter().map(shown).collect::<Vec<_>>(), ["10.0.0.1:80 1"]);
    }
}

#[test]
fn srv_instances_refuse_what_is_no_name() {
    for (name, is_valid) in [
        (NAME, true),
        ("_chat._tcp.example.internal.", true),
        ("", false),
        (".", false),
        ("_chat._tcp.example.internal:80", false),
        ("dns://example.internal", false),
        ("a..b", false),
    ] {
        let made = SrvInstances::new(name).map(drop).map_err(|error| error.kind());
        assert_eq!(made, if is_valid { Ok(()) } else { Err(ErrorKind::InvalidInput) }, "{name}");
    }
}
