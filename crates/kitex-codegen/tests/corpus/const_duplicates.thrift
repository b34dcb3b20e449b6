namespace go rr
const set<i32> M = [1, 1]
struct S { 1: set<string> s = ["a", "a"] }
