namespace go rr
const i32 type = 1
const string self = "a"
const i32 _ = 3
struct S { 1: i32 a = type, 2: string b = self }
