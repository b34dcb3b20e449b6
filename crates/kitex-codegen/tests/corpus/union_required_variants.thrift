namespace go rr
union U { 1: required i32 a, 2: optional string b, 3: required list<U> c }
struct S { 1: U u }
