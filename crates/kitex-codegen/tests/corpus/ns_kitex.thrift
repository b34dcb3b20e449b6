namespace go kitex
struct S { 1: map<string, list<i32>> m = {"a": [1]}, 2: optional S s, 3: set<double> d }
exception X { 1: string m }
service V { S Get(1: S s) throws (1: X x)
 S T(1: S s) (streaming.mode="bidirectional") }
