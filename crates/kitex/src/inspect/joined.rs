//! The streams of several processes as one forest. Each process sends its part as the values of
//! [`Changes`](super::Changes); this puts the parts together.
//!
//! A client's end and a server's end are the same stream if each has the other's addresses and both have the same
//! stream id. Where an address translator is between two processes they differ, and the trees stay apart. Clocks of
//! processes are never compared: a hop has the time that passed in its own process.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stream_core::clock;

use super::age_ms;

/// Joins the streams of several processes. Holds every open stream, and of those that have ended the last 4,096 and the
/// last 256 cancels.
#[derive(Debug, Default)]
pub struct Joined {
    ends: HashMap<Key, End>,
    by_addresses: HashMap<Addresses, Key>,
    ended: VecDeque<Key>,
    cancels: VecDeque<Cancel>,
}

/// A process and the id of a stream's end there.
type Key = (String, String);
/// Local address, peer's address, id of the stream on its connection.
type Addresses = (String, String, i64);

#[derive(Debug)]
struct End {
    parent: Option<String>,
    client: bool,
    addresses: Addresses,
    opened: Instant,
    open: bool,
    /// What its process said of it.
    said: Value,
}

#[derive(Debug)]
struct Cancel {
    key: Key,
    said: Value,
}

impl Joined {
    /// Returns a forest without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one value of [`Changes::take`](super::Changes::take) of `process`. What is no such value changes nothing.
    pub fn apply(&mut self, process: &str, change: &Value) {
        if change["start"] == true {
            self.remove(process);
        }
        for opened in list(change, "opened") {
            self.open(process, opened);
        }
        for changed in list(change, "changed") {
            let key = (process.to_owned(), word(changed, "id"));
            if let Some(end) = self.ends.get_mut(&key) {
                for field in ["state", "sent", "received"] {
                    if let Some(said) = end.said.get_mut(field) {
                        *said = changed[field].clone();
                    }
                }
            }
        }
        for closed in list(change, "closed") {
            self.close((process.to_owned(), closed.as_str().unwrap_or_default().to_owned()));
        }
        for cancel in list(change, "cancels") {
            let key = (process.to_owned(), word(cancel, "id"));
            self.cancels.push_back(Cancel { key, said: cancel.clone() });
            if self.cancels.len() > MAX_CANCELS {
                self.cancels.pop_front();
            }
        }
    }

    /// Removes the open streams of a process that is gone.
    pub fn remove(&mut self, process: &str) {
        let gone = self.ends.iter().filter(|((of, _), end)| of == process && end.open);
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        gone.into_iter().for_each(|key| self.close(key));
    }

    fn open(&mut self, process: &str, said: &Value) {
        let age = Duration::from_millis(said["age_ms"].as_u64().unwrap_or_default());
        let now = clock::now();
        let addresses =
            (word(said, "local"), word(said, "peer"), said["stream"].as_i64().unwrap_or_default());
        let key = (process.to_owned(), word(said, "id"));
        self.by_addresses.insert(addresses.clone(), key.clone());
        let end = End {
            parent: said["parent"].as_str().map(str::to_owned),
            client: said["side"] == "client",
            addresses,
            opened: now.checked_sub(age).unwrap_or(now),
            open: true,
            said: said.clone(),
        };
        self.ends.insert(key, end);
    }

    /// An ended stream is kept for a while: it says which cancels belong together.
    fn close(&mut self, key: Key) {
        let Some(end) = self.ends.get_mut(&key) else { return };
        if std::mem::replace(&mut end.open, false) {
            self.ended.push_back(key);
        }
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
            && let Some(end) = self.ends.remove(&oldest)
            && self.by_addresses.get(&end.addresses) == Some(&oldest)
        {
            self.by_addresses.remove(&end.addresses);
        }
    }

    /// The end above another: that of the handler that opened it, or the client's end of the same stream.
    fn above(&self, key: &Key, end: &End) -> Option<&Key> {
        let above = match &end.parent {
            Some(parent) => self.ends.get_key_value(&(key.0.clone(), parent.clone())).map(|(key, _)| key),
            None if end.client => None,
            None => {
                let (local, peer, stream) = end.addresses.clone();
                self.by_addresses.get(&(peer, local, stream))
            }
        };
        above.filter(|above| *above != key)
    }

    /// The end that nothing known is above.
    fn root<'a>(&'a self, key: &'a Key) -> &'a Key {
        let (mut at, mut left) = (key, MAX_DEPTH);
        while let Some(above) = self.ends.get(at).and_then(|end| self.above(at, end)) {
            at = above;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        at
    }

    /// Returns the open streams as trees, the oldest first:
    /// `[{"process", "id", "side", "service", "method", "local", "peer", "state", "age_ms", "sent", "received",
    /// "children"}]`. A tree that is deeper than 64 ends is cut.
    pub fn trees(&self) -> Value {
        let open = || self.ends.iter().filter(|(_, end)| end.open);
        let mut children: HashMap<&Key, Vec<&Key>> = HashMap::new();
        let mut roots: Vec<&Key> = Vec::new();
        for (key, end) in open() {
            match self.above(key, end).filter(|above| self.ends.get(*above).is_some_and(|end| end.open)) {
                Some(above) => children.entry(above).or_default().push(key),
                None => roots.push(key),
            }
        }
        self.sort(&mut roots);
        let trees = roots.into_iter().map(|root| self.tree(root, &children, MAX_DEPTH));
        Value::Array(trees.collect())
    }

    fn sort(&self, keys: &mut [&Key]) {
        keys.sort_by_key(|key| (self.ends.get(*key).map(|end| end.opened), (*key).clone()));
    }

    fn tree(&self, key: &Key, children: &HashMap<&Key, Vec<&Key>>, depth: usize) -> Value {
        let Some(end) = self.ends.get(key) else { return Value::Null };
        let mut below = children.get(key).cloned().unwrap_or_default();
        self.sort(&mut below);
        let below: Vec<Value> = match depth.checked_sub(1) {
            Some(depth) => below.into_iter().map(|child| self.tree(child, children, depth)).collect(),
            None => Vec::new(),
        };
        let mut node = end.said.clone();
        if let Value::Object(node) = &mut node {
            node.insert("process".to_owned(), key.0.clone().into());
            node.insert("age_ms".to_owned(), age_ms(end.opened).into());
            node.insert("children".to_owned(), below.into());
        }
        node
    }

    /// Returns the cancels as cascades, one record each, the oldest first:
    /// `[{"root": {"process", "id"}, "hops": [{"process", ..}]}]`, the hops in the order of their paths, each as
    /// [`to_json`](super::to_json) has it; `took_us` is the time from the receipt in that process until all below it were
    /// canceled. Cancels belong together if they have the same chain id, or if
    /// their streams were seen open and joined; others stand alone.
    pub fn cascades(&self) -> Value {
        let mut order: Vec<&Key> = Vec::new();
        let mut hops: BTreeMap<&Key, Vec<&Cancel>> = BTreeMap::new();
        let mut known: HashSet<&Key> = HashSet::new();
        // Of those with a chain id, all belong to the one whose path is the shortest.
        let mut by_path: Vec<&Cancel> = self.cancels.iter().collect();
        by_path.sort_by_key(|cancel| std::cmp::Reverse(list(&cancel.said, "path").len()));
        let with_chain =
            by_path.into_iter().filter_map(|cancel| Some((cancel.said["chain"].as_str()?, &cancel.key)));
        let chains: HashMap<&str, &Key> = with_chain.collect();
        for cancel in &self.cancels {
            let root = chains.get(word(&cancel.said, "chain").as_str()).copied().unwrap_or(&cancel.key);
            let root = self.root(root);
            if known.insert(root) {
                order.push(root);
            }
            hops.entry(root).or_default().push(cancel);
        }
        let cascade = |root: &Key| {
            let mut hops = hops.remove(root).unwrap_or_default();
            hops.sort_by_key(|hop| list(&hop.said, "path").len());
            let hops: Vec<Value> = hops.into_iter().map(Cancel::to_json).collect();
            json!({"root": {"process": root.0, "id": root.1}, "hops": hops})
        };
        Value::Array(order.into_iter().map(cascade).collect())
    }
}

impl Cancel {
    fn to_json(&self) -> Value {
        let mut said = self.said.clone();
        if let Value::Object(said) = &mut said {
            said.insert("process".to_owned(), self.key.0.clone().into());
        }
        said
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

const MAX_ENDED: usize = 4096;
const MAX_CANCELS: usize = 256;
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Joined;

    fn opened(id: &str, side: &str, parent: Option<&str>, local: &str, peer: &str) -> Value {
        json!({"id": id, "side": side, "parent": parent, "local": local, "peer": peer, "stream": 1, "age_ms": 5,
            "state": "open", "sent": {"messages": 0}, "received": {"messages": 0}})
    }

    fn cancel(id: &str, path: &[&str]) -> Value {
        json!({"id": id, "path": path, "took_us": 7})
    }

    /// A gateway whose agent asks a model and a retriever, each a process.
    fn scene() -> Joined {
        let mut joined = Joined::new();
        joined
            .apply("model", &json!({"start": true, "opened": [opened("1.1", "server", None, "m:1", "a:2")]}));
        joined.apply(
            "retriever",
            &json!({"start": true, "opened": [opened("1.1", "server", None, "r:1", "a:3")]}),
        );
        let agent = [
            opened("4.1", "server", None, "a:1", "g:2"),
            opened("5.1", "client", Some("4.1"), "a:2", "m:1"),
            opened("6.1", "client", Some("4.1"), "a:3", "r:1"),
        ];
        joined.apply("agent", &json!({"start": true, "opened": agent}));
        joined.apply(
            "gateway",
            &json!({"start": true, "opened": [opened("1.1", "client", None, "g:2", "a:1")]}),
        );
        joined
    }

    fn shape(trees: &Value) -> String {
        let shapes = trees.as_array().unwrap().iter();
        let shapes =
            shapes.map(|tree| format!("{}({})", tree["process"].as_str().unwrap(), shape(&tree["children"])));
        let mut shapes: Vec<String> = shapes.collect();
        shapes.sort();
        shapes.join(" ")
    }

    #[test]
    fn joined_trees_put_each_end_below_the_one_that_caused_it() {
        let mut joined = scene();
        assert_eq!(shape(&joined.trees()), "gateway(agent(agent(model()) agent(retriever())))");
        let sent = json!({"changed": [{"id": "1.1", "state": "half closed", "sent": {"messages": 3}, "received": {}}]});
        joined.apply("model", &sent);
        let model = joined.trees()[0]["children"][0]["children"].clone();
        let found =
            model.as_array().unwrap().iter().find(|end| end["id"] == "5.1").unwrap()["children"][0].clone();
        assert_eq!((&found["state"], &found["sent"]["messages"]), (&json!("half closed"), &json!(3)));
    }

    #[test]
    fn joined_cascades_are_one_record_each_though_their_streams_have_ended() {
        let mut joined = scene();
        // The hops' reports come in any order.
        joined.apply(
            "model",
            &json!({"closed": ["1.1"], "cancels": [cancel("1.1", &["x", "gateway", "agent"])]}),
        );
        joined.apply(
            "agent",
            &json!({"closed": ["4.1", "5.1", "6.1"], "cancels": [cancel("4.1", &["x", "gateway"])]}),
        );
        joined.apply("gateway", &json!({"closed": ["1.1"], "cancels": [cancel("1.1", &[])]}));
        joined.apply("other", &json!({"cancels": [cancel("9.9", &["y"])]}));
        let cascades = joined.cascades();
        let processes = |at: usize| -> Vec<&str> {
            cascades[at]["hops"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hop| hop["process"].as_str().unwrap())
                .collect()
        };
        assert_eq!((processes(0), processes(1)), (vec!["gateway", "agent", "model"], vec!["other"]));
        assert_eq!(cascades[0]["root"], json!({"process": "gateway", "id": "1.1"}));
        // What is left open of the tree.
        assert_eq!(shape(&joined.trees()), "retriever()");
    }

    #[test]
    fn joined_loses_the_streams_of_a_process_that_starts_again_or_is_removed() {
        let mut joined = scene();
        joined.remove("model");
        joined.apply("retriever", &json!({"start": true, "opened": []}));
        assert_eq!(shape(&joined.trees()), "gateway(agent(agent() agent()))");
    }

    #[test]
    fn joined_stays_bounded_and_survives_values_that_make_no_sense() {
        let mut joined = Joined::new();
        for round in 0..10_000 {
            let id = format!("1.{round}");
            joined.apply("a", &json!({"opened": [opened(&id, "server", Some(&id), "a:1", "b:1")]}));
            joined.apply("a", &json!({"closed": [id], "cancels": [cancel(&id, &[])]}));
        }
        assert!(joined.ends.len() <= super::MAX_ENDED && joined.cancels.len() <= super::MAX_CANCELS);
        for nonsense in
            [json!(null), json!([1]), json!({"opened": [1], "changed": {}, "closed": [{}], "cancels": [0]})]
        {
            joined.apply("a", &nonsense);
        }
        // Two ends that name each other as parents.
        let circle =
            [opened("2.1", "server", Some("2.2"), "", ""), opened("2.2", "server", Some("2.1"), "", "")];
        joined.apply("b", &json!({"opened": circle, "cancels": [cancel("2.1", &[])]}));
        joined.trees();
        joined.cascades();
    }
}
