namespace go rr
const i8 X = 300
const i32 MAX = 0xFFFFFFFF
const i16 LOW = -40000
struct S { 1: bool b = 2, 2: i32 c = true, 3: i64 d = false, 4: double e = true, 5: i64 f = MAX, 6: double g = X }
