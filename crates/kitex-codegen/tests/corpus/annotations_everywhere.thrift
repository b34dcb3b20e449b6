namespace go rr
typedef i32 (a = "b") T (c = "d")
struct S { 1: list<i32 (a = "b")> (c = "d") l (e = "f"), 2: map<string (k = "v"), list<set<i64 (x)>>> m (y), 3: required T (q = "w") t = 5 (z = "z") } (s, t = "u")
exception X { 1: string m (a = "b") } (message = "m")
service V { T (a = "b") M(1: T (c = "d") t (e = "f")) throws (1: X x (g = "h")) (i = "j"), void N() (k) } (l = "m", n)
