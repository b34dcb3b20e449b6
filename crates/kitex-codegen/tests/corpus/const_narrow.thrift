namespace go rr
const i32 A = 5
const i8 B = A
const i16 C = A
const i64 D = A
struct S { 1: i8 a = A, 2: i16 b = D, 3: i64 c = B, 4: double d = A, 5: double e = D }
