//! A DNS server on loopback, UDP and TCP, that answers from a table which the test changes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use kitex_dns::SrvInstances;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The largest response by UDP; of a larger one only its header is sent.
const UDP_PAYLOAD: usize = 1232;

/// How queries are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Answers,
    Silent,
    Fails,
}

#[derive(Debug, Default)]
struct Table {
    records: HashMap<Name, Vec<Record>>,
    mode: Mode,
    /// The name whose queries fail.
    failing: Option<Name>,
    queries: usize,
    by_tcp: usize,
}

/// Its tasks end when it is dropped.
pub(crate) struct DnsServer {
    table: Arc<Mutex<Table>>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = bind().await;
        let (table, mut tasks) = (Arc::<Mutex<Table>>::default(), JoinSet::new());
        let address = udp.local_addr().unwrap();
        tasks.spawn(serve_udp(udp, table.clone()));
        tasks.spawn(serve_tcp(tcp, table.clone()));
        Self { table, address, _tasks: tasks }
    }

    /// Returns the source of `name` that asks this server.
    pub(crate) fn instances(&self, name: &str) -> SrvInstances {
        SrvInstances::new(name).unwrap().with_servers([self.address])
    }

    /// Replaces the SRV records of `name`: priority, weight, port and target of each.
    pub(crate) fn set_srv(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let srv = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, absolute(target)))
        };
        self.set(name, ttl, records.iter().map(srv));
    }

    /// Replaces the addresses of `name`.
    pub(crate) fn set_addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let address = |address: &&str| RData::from(address.parse::<IpAddr>().unwrap());
        self.set(name, ttl, addresses.iter().map(address));
    }

    fn set(&self, name: &str, ttl: u32, data: impl Iterator<Item = RData>) {
        let name = absolute(name);
        let records: Vec<_> = data.map(|data| Record::from_rdata(name.clone(), ttl, data)).collect();
        let records = (!records.is_empty()).then_some(records);
        let mut table = self.table.lock().unwrap();
        match records {
            Some(records) => drop(table.records.insert(name, records)),
            None => drop(table.records.remove(&name)),
        }
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.table.lock().unwrap().mode = mode;
    }

    /// Fails the queries of `name` alone.
    pub(crate) fn set_failing(&self, name: Option<&str>) {
        self.table.lock().unwrap().failing = name.map(absolute);
    }

    /// Returns the number of queries so far.
    pub(crate) fn queries(&self) -> usize {
        self.table.lock().unwrap().queries
    }

    /// Returns the number of queries by TCP so far.
    pub(crate) fn queries_by_tcp(&self) -> usize {
        self.table.lock().unwrap().by_tcp
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_str_relaxed(name).unwrap();
    name.set_fqdn(true);
    name.to_lowercase()
}

/// Returns sockets on the same port.
async fn bind() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Another process may have the port by UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free by UDP and TCP");
}

async fn serve_udp(socket: UdpSocket, table: Arc<Mutex<Table>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(response) = respond(&buffer[..length], &table) else { continue };
        let bytes = response.to_vec().unwrap();
        let bytes = if bytes.len() > UDP_PAYLOAD { response.truncate().to_vec().unwrap() } else { bytes };
        let _ = socket.send_to(&bytes, from).await;
    }
}

async fn serve_tcp(listener: TcpListener, table: Arc<Mutex<Table>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve_connection(stream, table.clone()));
    }
}

/// Each message is behind its length.
async fn serve_connection(mut stream: TcpStream, table: Arc<Mutex<Table>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        table.lock().unwrap().by_tcp += 1;
        let Some(response) = respond(&query, &table) else { continue };
        let bytes = response.to_vec().unwrap();
        let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(bytes);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// Returns the response to a query; `None`: there is none.
fn respond(query: &[u8], table: &Mutex<Table>) -> Option<Message> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries.first().unwrap().clone();
    let (name, of) = (question.name().to_lowercase(), question.query_type());
    let mut table = table.lock().unwrap();
    table.queries += 1;
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.add_query(question);
    match table.mode {
        Mode::Silent => return None,
        Mode::Fails => response.metadata.response_code = ResponseCode::ServFail,
        Mode::Answers if table.failing.as_ref() == Some(&name) => {
            response.metadata.response_code = ResponseCode::ServFail;
        }
        Mode::Answers => match table.records.get(&name) {
            None => response.metadata.response_code = ResponseCode::NXDomain,
            Some(records) => {
                response.add_answers(records.iter().filter(|record| is_of(record, of)).cloned());
            }
        },
    }
    Some(response)
}

fn is_of(record: &Record, of: RecordType) -> bool {
    record.record_type() == of
}
