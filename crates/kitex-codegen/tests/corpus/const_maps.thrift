namespace go rr
const map<string, map<string, map<i32, list<double>>>> M = {"a": {"b": {1: [1, 2.5, -3]}}, "c": {}}
const map<string, map<string, map<i32, list<double>>>> N = M
struct S { 1: map<string, map<string, map<i32, list<double>>>> m = N }
const list<map<string, set<string>>> L = [{"a": ["b"]}]
