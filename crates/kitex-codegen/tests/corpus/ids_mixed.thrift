namespace go rr
struct S { i32 a, 5: i32 b, i32 c, -3: i32 d, i32 e }
exception X { string m, 2: i32 c }
union U { i32 a, string b }
service V { void M(i32 a, 4: i32 b, i32 c) throws (X x) }
