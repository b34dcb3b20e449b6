namespace go rr
const list<string> L = ["a"]
exception E { 1: string m = "x", 2: list<string> l = L, 3: required map<string, list<string>> d = {"k": L}, 4: optional E inner = {"m": "y"} }
const E DEFAULT = {"m": "z"}
service V { void M() throws (1: E e) }
