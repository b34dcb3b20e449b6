namespace go rr
struct K { 1: string s (rust.type = "string"), 2: binary b (rust.type = "vec"), 3: optional K k (rust.arc = "true"), 4: optional K l (rust.box = "true") }
struct S { 1: map<K, i32> m, 2: set<K> s, 3: map<string, list<binary>> t (rust.type = "string"), 4: map<K, K> u (rust.type = "btree"), 5: optional set<string> v (rust.type="btree"), 6: required list<binary> w (rust.type="vec") }
