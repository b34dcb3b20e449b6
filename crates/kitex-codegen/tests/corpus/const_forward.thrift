namespace go rr
const i32 A = B
const i32 B = 2
const list<i32> L = [A, B]
struct S { 1: P p = PP }
const P PP = {"x": B}
struct P { 1: i32 x }
