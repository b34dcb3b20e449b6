namespace go rr
struct K { 1: double d, 2: optional K k, 3: list<K> l, 4: map<string, K> m }
union U { 1: K k, 2: set<U> s }
enum E { A }
struct S { 1: map<K, i32> m (rust.type = "btree"), 2: set<U> s (rust.type = "btree"), 3: map<E, i32> e (rust.type = "btree"), 4: set<list<set<i32>>> l (rust.type = "btree") }
