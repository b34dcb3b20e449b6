namespace go rr
struct K { 1: double d }
const set<K> A = [{"d": 1}, {"d": 1.0}]
const map<K, set<K>> B = {{"d": 1}: A}
const set<list<K>> C = [[{"d": 1}], []]
const map<set<i32>, string> D = {[1, 2]: "a"}
const map<list<i32>, string> E = {[1, 2]: "a"}
const map<map<i32, i32>, string> F = {{1: 2}: "a"}
