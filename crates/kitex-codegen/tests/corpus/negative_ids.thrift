namespace go rr
struct S { -1: i32 a, -2: optional string b, -32768: i32 c, 32767: i32 d }
union U { -1: i32 a, 1: i32 b }
exception X { -1: string m }
service V { void M(-1: i32 a, -2: i32 b) throws (-1: X x) }
