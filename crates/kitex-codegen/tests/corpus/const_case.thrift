namespace go rr
const i32 abc = 1
const i32 ABC = 2
const i32 aBc = 3
const i32 a_b_c = 4
struct S { 1: i32 x = abc, 2: i32 y = ABC, 3: i32 z = aBc }
