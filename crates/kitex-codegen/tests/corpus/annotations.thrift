namespace go rr
struct S {
  1: string a (rust.type = "string"), 2: binary b (rust.type = "vec"), 3: set<i32> c (rust.type = "btree"), 4: map<string, i32> d (pilota.rust_type = "btree")
  5: optional Other e (rust.arc = "true"), 6: Other f (pilota.rust_wrapper_arc = "true"), 7: i32 g (rust.name = "renamed"), 8: required Other h (rust.arc = "true")
  9: list<string (rust.type = "string")> i, 10: string j = "x" (rust.type = "string"), 11: binary k = "x" (rust.type = "vec"), 12: Other l = {"s": 1} (rust.arc = "true")
} (rust.name = "Renamed", rust.attributes = "#[doc(alias = \"s\")]")
struct Other { 1: i32 s (rust.attributes = "#[doc(alias = \"x\")]") } (pilota.name = "Else")
union U { 1: S s (rust.arc = "true"), 2: Other o (rust.name = "Odd") }
struct Keys { 1: set<i32> s (rust.type = "btree"), 2: map<i32, string> m (rust.type = "btree") }
struct UsesKeys { 1: set<Keys> s, 2: map<Keys, i32> m }
service V { S M(1: S s, 2: string t (rust.name = "text")) (rust.name = "method") } (rust.name = "Served")
