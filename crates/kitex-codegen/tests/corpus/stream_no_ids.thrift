namespace go rr
struct S { 1: i32 a }
exception X { string m }
exception Y { string m }
service V { S M(S s) (streaming.mode="server"), S N(S s) throws (X x, Y y), S O(required S s, optional S t) }
