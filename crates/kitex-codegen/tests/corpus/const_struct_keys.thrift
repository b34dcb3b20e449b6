namespace go rr
struct K { 1: i32 a, 2: optional K k }
const K ONE = {"a": 1}
const map<K, K> M = {ONE: {"a": 2, "k": ONE}}
struct S { 1: map<K, list<K>> m = {{"a": 1}: [ONE]}, 2: set<K> s = [ONE, {"a": 3}] }
