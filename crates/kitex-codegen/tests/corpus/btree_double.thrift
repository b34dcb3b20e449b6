namespace go rr
struct S { 1: map<double, i32> m (rust.type = "btree"), 2: set<double> s (rust.type = "btree") }
